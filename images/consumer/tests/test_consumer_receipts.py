"""Receipts of numbered readings: grouped, before the PUBACK, and never an obstacle."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from mqtt_trace_consumer.receipts import Receipts
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from images.consumer.tests.conftest import MakeConsumer
from images.consumer.tests.harness import Echo, ids, listening, numbered, publish
from local.mosquitto import Mosquitto
from local.waiting import until, until_async
from mqtt_trace._receipts import ProcessedReading
from mqtt_trace.aio import Connection

MakeBroker = Callable[..., Mosquitto]

TOPIC = "sensors/sensor-001/reading"
RECEIPTS = "mqtt-trace/receipts/iot.demo-receipts-0"


def asking(sequence: str, topic: str = RECEIPTS) -> Properties:
    """PUBLISH properties of a reading that asks for a receipt."""
    properties = Properties(PacketTypes.PUBLISH)
    properties.UserProperty = ("mqtt-trace-sequence", sequence)
    properties.ResponseTopic = topic
    return properties


def test_readings_share_a_receipt_while_another_is_on_its_way(broker: Mosquitto) -> None:
    """Readings that are confirmed before the PUBACK of a receipt go together in the next one."""
    topic = "mqtt-trace/receipts/iot.grouped-receipts-0"
    with listening(broker, topic) as messages:
        asyncio.run(confirm_while_unacknowledged(broker, topic, "a", "b", "c", "d"))
        until(lambda: len(messages) == 2, "two receipts")
    sequences = [[one["sequence"] for one in json.loads(message.payload)["readings"]] for message in messages]
    assert sequences == [["a"], ["b", "c", "d"]]


async def confirm_while_unacknowledged(broker: Mosquitto, topic: str, first: str, *others: str) -> None:
    """Confirm a reading, and the others once its receipt is sent and before its PUBACK is read."""
    client = Client(CallbackAPIVersion.VERSION2, "grouping", protocol=MQTTProtocolVersion.MQTTv5)
    client.connect_async(broker.host, broker.port)
    receipts = Receipts(client, "grouping")
    client.on_publish = lambda *call: receipts.acknowledged(call[2], call[3])
    connection = Connection(client)
    running = asyncio.create_task(connection.run())
    await connection.wait_up()
    connection.pause_reading()

    def confirm(sequence: str) -> asyncio.Task[None]:
        reading = ProcessedReading(sequence=sequence, outcome="processed", at=0.0)
        return asyncio.create_task(receipts.confirm(topic, reading))

    confirming = [confirm(first)]
    await until_async(lambda: receipts.in_flight == 1, "a receipt is sent")
    confirming += [confirm(sequence) for sequence in others]
    await asyncio.sleep(0)  # they wait now
    connection.resume_reading()
    await asyncio.gather(*confirming)
    await connection.close()
    await running


def test_a_receipt_names_the_consumer_and_the_outcome(
    make_broker: MakeBroker, make_consumer: MakeConsumer, echo: Echo
) -> None:
    """A reading that echo accepts is processed, and one that it refuses is dead-lettered."""
    echo.answer = lambda payload: (422 if b'"1"' in payload else 200, {})
    broker = make_broker()
    with listening(broker, "mqtt-trace/receipts/#") as messages:
        make_consumer(broker, ECHO_MAX_TRIES="1").start_ready()
        for number, payload in enumerate(numbered(2)):
            publish(broker, TOPIC, payload, properties=asking(f"e/0/0/{number}"))
        until(lambda: len(messages) == 2, "a receipt for each")
    receipts = [json.loads(message.payload) for message in messages]
    assert {receipt["consumer"] for receipt in receipts} == {"consumer-0"}
    outcomes = {one["sequence"]: one for receipt in receipts for one in receipt["readings"]}
    assert outcomes["e/0/0/0"]["outcome"] == "processed"
    assert outcomes["e/0/0/1"]["outcome"] == "dead_lettered"
    assert outcomes["e/0/0/0"]["age"] > 0
    assert outcomes["e/0/0/0"]["missing_context"] == "absent"


def test_a_refused_receipt_is_said_once_and_stops_nothing(
    make_broker: MakeBroker, make_consumer: MakeConsumer, echo: Echo
) -> None:
    """If the broker refuses receipts, the consumer says so once, and processes and acknowledges the readings."""
    broker = make_broker(acl=["topic readwrite sensors/#"])
    consumer = make_consumer(broker).start_ready()
    publish(broker, TOPIC, *numbered(20), properties=asking("e/0/0/1"))
    until(lambda: set(echo.ids) == ids(20), "every reading")
    consumer.wait_status(processed=20, in_flight=0)
    (line,) = consumer.said("refuses receipts")
    assert f"{RECEIPTS} (0x87)" in line


def test_a_topic_of_somebody_elses_choice_gets_no_receipt(make_broker: MakeBroker, make_consumer: MakeConsumer) -> None:
    """A publisher cannot make the consumer publish to a topic outside of the receipts."""
    broker = make_broker()
    with listening(broker, "#") as messages:
        consumer = make_consumer(broker).start_ready()
        publish(broker, TOPIC, *numbered(1), properties=asking("e/0/0/1", "commands/open-the-door"))
        consumer.wait_status(processed=1, in_flight=0)
        publish(broker, "last", b"")
        until(lambda: messages[-1].topic == "last", "all messages")
    assert not [message.topic for message in messages if message.topic.startswith(("commands", "mqtt-trace"))]


def test_a_reading_is_acknowledged_after_its_receipt(make_broker: MakeBroker, make_consumer: MakeConsumer) -> None:
    """While a receipt has no subscriber for the moment, its reading is processed and not acknowledged."""
    broker = make_broker()
    consumer = make_consumer(broker).start_ready()
    publish(broker, TOPIC, *numbered(1), properties=asking("e/0/0/1"))
    consumer.wait_status(processed=1, in_flight=1)
    with listening(broker, RECEIPTS) as messages:
        consumer.wait_status(processed=1, in_flight=0)
        until(lambda: len(messages) == 1, "the receipt")
