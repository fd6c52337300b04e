"""The ends of publish spans: acknowledged, refused, lost, or never sent."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import StatusCode
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

from local.mosquitto import Mosquitto
from local.waiting import DEADLINE_S, until
from mqtt_trace import PublishOutcome, TracedPublisher
from mqtt_trace._spans.sweeper import sweeper
from tests.library.harness import Connect, MakeBroker, Recorded
from tests.library.looping import connect_without_a_thread, loop_until


def publisher_of(client: Client, recorded: Recorded, **options: Any) -> TracedPublisher:
    """A publisher that records in memory."""
    return TracedPublisher(
        client, tracer_provider=recorded.tracer_provider, meter_provider=recorded.meter_provider, **options
    )


def test_a_refused_publish_is_an_error(make_broker: MakeBroker, connect: Connect, recorded: Recorded) -> None:
    """A PUBACK with 0x87 ends the span with that as `error.type`, and counts as a failure."""
    broker = make_broker(acl=["topic read #"])
    outcomes: list[PublishOutcome] = []
    publisher = publisher_of(connect(broker), recorded)
    publisher.publish("forbidden/x", "x", 1, on_outcome=outcomes.append)
    until(lambda: len(recorded.spans) == 1, "the span ended")
    (span,) = recorded.spans
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes["error.type"], span.attributes["mqtt.reason_code"]) == ("0x87", 0x87)
    assert span.status.description == "Not authorized"
    assert [outcome.error_type for outcome in outcomes] == ["0x87"]
    (point,) = recorded.points("messaging.client.sent.messages")
    assert (point.value, point.attributes["error.type"]) == (1, "0x87")


def test_qos_0_without_a_connection_is_an_error(recorded: Recorded) -> None:
    """A QoS 0 publish without a connection, whose message is lost, is an error."""
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    publisher_of(client, recorded).publish("gone/x", "x", 0)
    (span,) = recorded.spans
    assert (span.status.status_code, span.attributes["error.type"]) == (StatusCode.ERROR, "MQTT_ERR_NO_CONN")


def test_qos_1_without_a_connection_waits(broker: Mosquitto, recorded: Recorded) -> None:
    """The span of a queued message ends with its acknowledgement."""
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    publisher = publisher_of(client, recorded)
    publisher.publish("later/x", "x", 1)
    assert (publisher.pending, recorded.spans) == (1, ())
    client.connect(broker.host, broker.port)
    client.loop_start()
    until(lambda: len(recorded.spans) == 1, "the span ended")
    client.disconnect()
    client.loop_stop()
    assert recorded.spans[0].status.status_code is StatusCode.UNSET


def test_a_full_queue_is_an_error(recorded: Recorded) -> None:
    """A message that does not fit into paho's queue is an error."""
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.max_queued_messages_set(1)
    publisher = publisher_of(client, recorded)
    publisher.publish("full/x", "x", 1)
    publisher.publish("full/x", "x", 1)
    assert [span.attributes["error.type"] for span in recorded.spans] == ["MQTT_ERR_QUEUE_SIZE"]
    publisher.close()
    assert [span.attributes["error.type"] for span in recorded.spans] == ["MQTT_ERR_QUEUE_SIZE", "closed"]


def test_a_closed_publisher_leaves_no_span_waiting(recorded: Recorded) -> None:
    """The span of a publish during or after the close ends like the others."""
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    publisher = publisher_of(client, recorded)
    publisher.close()
    publisher.publish("closed/x", "x", 1)
    assert (publisher.pending, len(client._out_messages)) == (0, 1)  # noqa: SLF001 - nothing public tells
    assert [span.attributes["error.type"] for span in recorded.spans] == ["closed"]


@pytest.mark.parametrize(("topic", "payload"), [("wild/+", "x"), ("x", object())])
def test_what_paho_refuses_is_raised(recorded: Recorded, topic: str, payload: Any) -> None:
    """The program gets paho's own error, and no span stays open."""
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    publisher = publisher_of(client, recorded)
    with pytest.raises((ValueError, TypeError)):
        publisher.publish(topic, payload, 1)
    assert publisher.pending == 0


def test_a_broker_restart_in_between_still_ends_the_span(
    make_broker: MakeBroker, connect: Connect, recorded: Recorded
) -> None:
    """Paho sends the message again after it has connected again; the span lasts until that is acknowledged."""
    broker = make_broker()
    publisher = publisher_of(connect(broker), recorded)
    broker.stop()
    publisher.publish("restarted/x", "x", 1)
    assert publisher.pending == 1
    broker.start()
    until(lambda: len(recorded.spans) == 1, "the span ended")
    assert recorded.spans[0].status.status_code is StatusCode.UNSET


def test_a_qos_2_publish_lasts_until_pubcomp(broker: Mosquitto, recorded: Recorded) -> None:
    """The span ends with PUBCOMP, not with PUBREC (MQTT 5, section 4.3.3)."""
    client = connect_without_a_thread(broker)
    publisher = publisher_of(client, recorded)
    publisher.publish("twice/x", "x", 2)
    sock: Any = client.socket()

    def read_one_packet() -> None:
        select.select([sock], [], [], 10)
        client.loop_read()  # reads as many packets as messages are under way

    read_one_packet()
    assert publisher.pending == 1
    read_one_packet()
    assert publisher.pending == 0
    assert recorded.spans[0].status.status_code is StatusCode.UNSET
    client.disconnect()


def test_a_refused_qos_2_publish_is_an_error(make_broker: MakeBroker, connect: Connect, recorded: Recorded) -> None:
    """The span ends with a refusing PUBREC, the last packet, and no state remains."""
    broker = make_broker(acl=["topic read #", "topic write allowed/#"])
    client = connect(broker)
    publisher = publisher_of(client, recorded)
    publisher.publish("forbidden/x", "x", 2)
    publisher.publish("allowed/x", "x", 2)
    until(lambda: len(recorded.spans) == 2, "both spans ended")
    errors = {span.name: span.attributes.get("error.type") for span in recorded.spans}
    assert errors == {"publish forbidden/x": "0x87", "publish allowed/x": None}
    assert publisher.pending == 0


def test_a_message_that_paho_keeps_over_a_lost_connection_is_pending(broker: Mosquitto, recorded: Recorded) -> None:
    """With QoS 1 an error of the socket is no failure: paho sends the message on the next connection."""
    client = connect_without_a_thread(broker)
    sock: Any = client.socket()
    sock.shutdown(socket.SHUT_RDWR)
    publisher = publisher_of(client, recorded)
    assert publisher.publish("kept/x", "x", 1).rc == MQTTErrorCode.MQTT_ERR_CONN_LOST
    assert (publisher.pending, recorded.spans) == (1, ())
    client.reconnect()
    loop_until(client, lambda: not publisher.pending, "every span ended")
    client.disconnect()
    assert recorded.spans[0].status.status_code is StatusCode.UNSET


def test_an_outcome_callback_that_fails_costs_nobody_else_a_span(
    recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    """An error of an outcome callback is logged, and every span ends."""
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    publisher = publisher_of(client, recorded)

    def fail(_: PublishOutcome) -> None:
        raise RuntimeError("callback")

    for number in range(3):
        publisher.publish(f"raising/{number}", "x", 1, on_outcome=fail)
    publisher.close()
    assert [span.attributes["error.type"] for span in recorded.spans] == ["closed"] * 3
    assert caplog.text.count("on_outcome failed") == 3


@pytest.fixture
def blocked(recorded: Recorded) -> Iterator[TracedPublisher]:
    """A publisher whose publish has timed out, and whose callback for that does not return before the end."""
    called, go_on = threading.Event(), threading.Event()
    publisher = publisher_of(new_client(), recorded, timeout=0.01)

    def on_outcome(_: PublishOutcome) -> None:
        called.set()
        go_on.wait(DEADLINE_S)

    publisher.publish("blocked/x", "x", 1, on_outcome=on_outcome)
    assert called.wait(DEADLINE_S)
    yield publisher
    go_on.set()


def new_client() -> Client:
    """A client that is not connected."""
    return Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)


@pytest.fixture
def waiting(recorded: Recorded) -> list[TracedPublisher]:
    """Publishers whose publishes wait."""
    publishers = [publisher_of(new_client(), recorded) for _ in range(20)]
    for publisher in publishers:
        publisher.publish("waiting/x", "x", 1)
    return publishers


def test_time_outs_of_one_sweep_end_their_spans_before_they_are_reported(recorded: Recorded) -> None:
    """A slow callback delays other callbacks, but not the end of spans that have timed out."""
    ended: list[int] = []
    publishers = [publisher_of(new_client(), recorded, timeout=0.01) for _ in range(3)]
    for number, publisher in enumerate(publishers):
        publisher.publish(f"timely/{number}", "x", 1, on_outcome=lambda _: ended.append(len(recorded.spans)))
    until(lambda: len(ended) == len(publishers), "all callbacks")
    assert {span.attributes["error.type"] for span in recorded.spans} == {"timeout"}
    assert ended[0] >= 1
    assert ended == sorted(ended)


def test_the_span_is_current_when_its_time_out_is_reported(recorded: Recorded) -> None:
    """Spans that the callback starts belong to the trace of its publish."""
    current: list[int] = []
    publisher_of(new_client(), recorded, timeout=0.01).publish(
        "timely/y", "x", 1, on_outcome=lambda _: current.append(trace.get_current_span().get_span_context().span_id)
    )
    until(lambda: bool(current), "the callback")
    assert current == [span.context.span_id for span in recorded.spans if span.name == "publish timely/y"]


@pytest.mark.usefixtures("waiting", "blocked")
def test_closing_all_finds_what_waits_while_an_outcome_callback_blocks(recorded: Recorded) -> None:
    """Closing ends all spans, even while a sweep calls an outcome callback."""
    sweeper.close()
    closed = [span.name for span in recorded.spans if span.attributes["error.type"] == "closed"]
    assert closed == ["publish waiting/x"] * 20
