"""paho is unchanged for other libraries, for callbacks and logs, and after `uninstrument`."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties

from mqtt_trace.instrumentation import PahoMqttInstrumentor
from tests.library.harness import Connect, Instrument, MakeBroker, Recorded


def patched() -> tuple[dict[str, Any], dict[str, Any]]:
    """The current attributes of the classes that instrumentation changes."""
    return dict(vars(Client)), dict(vars(Properties))


def new_client(protocol: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv5) -> Client:
    """A client that is not connected: with QoS 1 paho keeps what it would send."""
    return Client(CallbackAPIVersion.VERSION2, protocol=protocol)


def test_wrappers_of_other_libraries_are_kept(instrument: Instrument, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrappers installed before and after ours get the program's arguments and keep their results, in the end, too."""
    calls: list[str] = []

    def wrapping(name: str, answer: bool) -> None:
        inner = Client.publish

        def wrapper(self: Client, topic: str, payload: Any = None, **kwargs: Any) -> Any:
            calls.append(f"{name} {sorted(kwargs)}")
            info = inner(self, topic, payload, **kwargs)
            return name if answer else info

        monkeypatch.setattr(Client, "publish", wrapper)

    wrapping("before", answer=True)
    instrument()
    wrapping("after", answer=False)
    client = new_client(MQTTProtocolVersion.MQTTv311)
    assert client.publish("wrapped/x", "x", qos=1) == "before"  # type: ignore[comparison-overlap]  # that wrapper says so
    PahoMqttInstrumentor().uninstrument()
    assert client.publish("wrapped/x", "x", qos=1) == "before"  # type: ignore[comparison-overlap]  # as above
    assert calls == ["after ['qos']", "before ['qos']"] * 2


def test_uninstrument_restores_the_other_methods_if_one_is_gone(
    instrument: Instrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A method that another library has deleted since stays as that library left it."""
    before = dict(vars(Client))
    monkeypatch.setattr(Client, "publish", Client.publish)  # restores it at the end
    instrument()
    del Client.publish
    PahoMqttInstrumentor().uninstrument()
    assert {**vars(Client), "publish": before["publish"]} == before


def test_uninstrument_restores_everything(instrument: Instrument, recorded: Recorded) -> None:
    """The class and existing clients are as before, and waiting spans have ended."""
    old, new = new_client(), new_client()
    attributes, before = [set(vars(old)), set(vars(new))], patched()
    instrument()
    assert all(now != then for now, then in zip(patched(), before, strict=True))
    for client in (old, new):
        client.publish("restored/x", "x", 1)
    assert not recorded.spans
    PahoMqttInstrumentor().uninstrument()
    assert patched() == before
    assert [set(vars(old)), set(vars(new))] == attributes
    assert [span.attributes["error.type"] for span in recorded.spans] == ["closed", "closed"]
    old.publish("restored/x", "x", 1)
    assert len(recorded.spans) == 2
    instrument()
    old.publish("restored/y", "x", 0)
    assert recorded.spans[-1].name == "publish restored/y"


def uninstrument_in_another_thread() -> None:
    """Uninstrument in another thread, while this thread is in the middle of tracing."""
    thread = threading.Thread(target=PahoMqttInstrumentor().uninstrument)
    thread.start()
    thread.join()


class Ending(str):
    """A payload that calls `uninstrument` when it is read, at the start of a publish."""

    __slots__ = ()

    def __str__(self) -> str:
        """The payload."""
        uninstrument_in_another_thread()
        return "x"


@pytest.mark.parametrize("payload", ["x", Ending("x")], ids=["in its hook", "before its span"])
def test_uninstrument_leaves_nothing_of_a_publish_that_is_under_way(
    instrument: Instrument, recorded: Recorded, payload: str
) -> None:
    """The span of a publish in progress ends like waiting spans, and the client is as before."""
    client = new_client()
    before = set(vars(client))
    instrument(publish_hook=lambda *_: uninstrument_in_another_thread() if type(payload) is str else None)
    client.publish("midst/x", payload, 1)
    assert [span.attributes["error.type"] for span in recorded.spans] == ["closed"]
    assert set(vars(client)) == before


def test_what_paho_says_of_itself_is_the_same(instrument: Instrument, caplog: pytest.LogCaptureFixture) -> None:
    """The lines of paho's log are the same, except for the added properties."""
    caplog.set_level(logging.DEBUG)

    def lines() -> list[str]:
        caplog.clear()
        client = new_client(MQTTProtocolVersion.MQTTv311)
        client.enable_logger(logging.getLogger("program"))
        client.on_message = lambda *_: 1 / 0  # type: ignore[assignment]  # it raises
        client.suppress_exceptions = True
        client._handle_on_message(MQTTMessage(topic=b"log/x"))  # noqa: SLF001 - a message as it comes from the network
        return [record.getMessage() for record in caplog.records if record.name == "program"]

    untraced = lines()
    instrument()
    assert lines() == untraced
    assert untraced


@pytest.mark.parametrize("topic", ["allowed/x", "allowed/nobody", "refused"])
def test_on_publish_gets_the_same_arguments_as_without_tracing(
    make_broker: MakeBroker,
    connect: Connect,
    instrument: Instrument,
    caplog: pytest.LogCaptureFixture,
    topic: str,
) -> None:
    """`on_publish` gets paho's own reason code and properties, and paho's log is the same."""
    caplog.set_level(logging.DEBUG)
    broker = make_broker(acl=["topic read #", "topic write allowed/#"])

    def publish() -> list[object]:
        caplog.clear()
        reported: list[object] = []
        client = connect(broker)
        client.on_message = lambda *_: None
        client.subscribe("allowed/x", 1)
        client.enable_logger(logging.getLogger("program"))
        client.on_publish = lambda _client, _userdata, _mid, reason, properties: reported.extend(
            [type(reason), reason, reason.packetType, type(properties), vars(properties)]
        )
        client.publish(topic, "x", 1).wait_for_publish(10)
        lines = [record.getMessage() for record in caplog.records if record.name == "program"]
        return [*reported, *(line for line in lines if line.startswith("Received PUBACK"))]

    untraced = publish()
    instrument()
    assert publish() == untraced
    assert len(untraced) == 6
