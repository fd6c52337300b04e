"""Our reader of PUBACK packets gives the same results as paho."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt._packet import decode_puback
from paho.mqtt.enums import CallbackAPIVersion, LogLevel, MQTTProtocolVersion
from paho.mqtt.exception import MalformedPacket

from local.mosquitto import Mosquitto
from local.waiting import until
from mqtt_trace import TracedPublisher
from mqtt_trace._paho.fast_puback import plain_reason, read_pubacks_quickly
from tests.library.harness import Connect, Inbox, Instrument, MakeBroker, Recorded


@given(st.binary(min_size=2, max_size=3))
def test_any_puback_without_properties_is_read_as_paho_reads_it(packet: bytes) -> None:
    """The reason code equals paho's, and packets that paho refuses are left to paho."""
    try:
        expected = decode_puback(0x40, packet, MQTTProtocolVersion.MQTTv5).reason
    except MalformedPacket:
        expected = None
    reason = plain_reason(packet)
    assert (reason and (reason.value, str(reason), reason.packetType)) == (
        expected and (expected.value, str(expected), expected.packetType)
    )


@pytest.mark.parametrize("packet", [b"", b"\0", b"\0\1\0\0", b"\0\1\x10\x03\x1f\0\0"])
def test_other_packets_are_left_to_paho(packet: bytes) -> None:
    """A PUBACK that is too short or has properties is read by paho."""
    assert plain_reason(packet) is None


@pytest.mark.parametrize(
    ("topic", "reason"),
    [("allowed/x", "Success"), ("allowed/nobody", "No matching subscribers"), ("x", "Not authorized")],
)
def test_callbacks_are_told_what_paho_tells_them(
    make_broker: MakeBroker, connect: Connect, topic: str, reason: str
) -> None:
    """`on_publish` gets packet id, reason code and usable properties, and paho drops the message."""
    broker: Mosquitto = make_broker(acl=["topic read #", "topic write allowed/#"])
    Inbox(connect(broker), "allowed/x")
    client = connect(broker)
    reported: list[tuple[int, str, str]] = []
    client.on_publish = lambda _c, _u, mid, code, properties: reported.append((mid, str(code), str(properties)))
    read_pubacks_quickly(client)
    info = client.publish(topic, "x", 1)
    until(lambda: bool(reported), "the publish was acknowledged")
    assert reported == [(info.mid, reason, "[]")]
    info.wait_for_publish(10)
    assert info.is_published()


@pytest.mark.filterwarnings("ignore:Callback API version 1")
def test_the_callback_of_version_1_is_called_as_well(broker: Mosquitto, connect: Connect) -> None:
    """Callbacks of version 1 get the packet id."""
    client = connect(broker, api=CallbackAPIVersion.VERSION1)
    reported: list[int] = []
    client.on_publish = lambda _client, _userdata, mid: reported.append(mid)
    read_pubacks_quickly(client)
    info = client.publish("puback/v1", "x", 1)
    until(lambda: bool(reported), "the publish was acknowledged")
    assert reported == [info.mid]


@pytest.mark.parametrize("instrumented", [True, False])
@pytest.mark.parametrize(("qos", "packet"), [(1, "PUBACK"), (2, "PUBREC")])
def test_a_program_that_logs_packets_sees_each_acknowledgement(
    make_broker: MakeBroker,
    connect: Connect,
    recorded: Recorded,
    instrument: Instrument,
    instrumented: bool,
    qos: int,
    packet: str,
) -> None:
    """Packets that we read are in paho's log as before."""
    client = connect(make_broker(acl=["topic read #"]))
    if instrumented:
        instrument()
    else:
        TracedPublisher(client, tracer_provider=recorded.tracer_provider, meter_provider=recorded.meter_provider)
    logged: list[tuple[int, str]] = []
    client.on_log = lambda _client, _userdata, level, line: logged.append((level, line))
    info = client.publish("logged/x", "x", qos)
    until(info.is_published, "the publish was refused")
    lines = [one for one in logged if packet in one[1]]
    assert lines == [(LogLevel.MQTT_LOG_DEBUG, f"Received {packet} (Mid: {info.mid})")]


def test_a_traced_publisher_reads_them_quickly(broker: Mosquitto, connect: Connect, recorded: Recorded) -> None:
    """A client with a `TracedPublisher` has the quick reader."""
    client = connect(broker)
    TracedPublisher(client, tracer_provider=recorded.tracer_provider, meter_provider=recorded.meter_provider)
    assert "_handle_pubackcomp" in vars(client)
