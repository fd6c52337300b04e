"""Many clients, clients of other classes, and clients that go away, instrumented."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import paho.mqtt.publish
from opentelemetry.trace import StatusCode
from paho.mqtt.client import Client, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from local.mosquitto import Mosquitto
from local.waiting import until
from tests.library.harness import Connect, Instrument, Recorded


def new_client(protocol: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv5, client_id: str = "") -> Client:
    """A client that is not connected."""
    return Client(CallbackAPIVersion.VERSION2, client_id, protocol=protocol)


def test_several_clients_and_subclasses_are_each_traced(
    broker: Mosquitto, instrument: Instrument, recorded: Recorded
) -> None:
    """Every client is traced, including a subclass with its own `publish` and an unhashable one."""

    class Prefixed(Client):
        __hash__ = None  # type: ignore[assignment]  # that is the point

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Prefixed)

        def publish(self, topic: str, *args: Any, **kwargs: Any) -> MQTTMessageInfo:
            return super().publish(f"prefix/{topic}", *args, **kwargs)

    instrument()
    clients = [
        cls(CallbackAPIVersion.VERSION2, f"several-{number}", protocol=MQTTProtocolVersion.MQTTv5)
        for number, cls in enumerate([Client, Prefixed, Client])
    ]
    for number, client in enumerate(clients):
        client.connect(broker.host, broker.port)
        client.loop_start()
        client.publish(f"several/{number}", "x", qos=1)
    until(lambda: len(recorded.spans) == 3, "every span ended")
    for client in clients:
        client.disconnect()
        client.loop_stop()
    assert {span.name: span.attributes["messaging.client.id"] for span in recorded.spans} == {
        "publish several/0": "several-0",
        "publish prefix/several/1": "several-1",
        "publish several/2": "several-2",
    }


def test_pahos_helpers_are_traced(broker: Mosquitto, instrument: Instrument, recorded: Recorded) -> None:
    """`paho.mqtt.publish.multiple`, which publishes from callbacks of its own client, is traced."""
    instrument()
    messages: list[Any] = [{"topic": f"helper/{number}", "payload": "x", "qos": 1} for number in range(3)]
    paho.mqtt.publish.multiple(messages, broker.host, broker.port, protocol=MQTTProtocolVersion.MQTTv5)
    assert [span.name for span in recorded.spans] == [f"publish helper/{number}" for number in range(3)]
    assert {span.status.status_code for span in recorded.spans} == {StatusCode.UNSET}


def test_a_packet_id_that_is_given_again_ends_the_span_before_it(instrument: Instrument, recorded: Recorded) -> None:
    """A reused packet id, after `drop_out_messages` and `reinitialise`, ends the earlier span."""
    instrument()
    client = new_client()
    client.publish("dropped/x", "x", 1)
    client.reinitialise()
    client.publish("kept/x", "x", 1)
    (span,) = recorded.spans
    assert (span.name, span.attributes["error.type"]) == ("publish dropped/x", "closed")


def test_a_client_that_nobody_holds_is_gone_at_once(instrument: Instrument) -> None:
    """Tracing creates no cycle with the client."""
    instrument()
    gc.disable()
    try:
        client = new_client()
        client.publish("gone/x", "x", 1)
        client.publish("gone/x", "x", 0)
        reference = weakref.ref(client)
        del client
        assert reference() is None
    finally:
        gc.enable()


def test_publishing_from_many_threads_ends_every_span(
    broker: Mosquitto, connect: Connect, instrument: Instrument, recorded: Recorded
) -> None:
    """Every span ends, although acknowledgements arrive while other threads publish."""
    instrument()
    client = connect(broker)
    threads = [
        threading.Thread(target=lambda: [client.publish("threads/x", "x", 1) for _ in range(100)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(lambda: len(recorded.spans) == 800, "every span ended")
    assert {span.status.status_code for span in recorded.spans} == {StatusCode.UNSET}
    assert len({span.context.span_id for span in recorded.spans}) == 800
