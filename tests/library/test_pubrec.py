"""A PUBREC is a refusal only if paho can read it, too."""

from __future__ import annotations

import select
import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt._packet import decode_pubrec
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.exception import MalformedPacket

from mqtt_trace import TracedPublisher
from mqtt_trace._paho.pubrec import refused_pubrec
from tests.library.harness import Instrument, Recorded


@given(st.binary(min_size=2, max_size=3))
def test_a_refusal_is_what_paho_reads_as_one(packet: bytes) -> None:
    """Packet id and reason code equal paho's; other packets are left to paho."""
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    vars(client)["_in_packet"]["packet"] = bytearray(packet)
    try:
        read = decode_pubrec(0x50, packet, MQTTProtocolVersion.MQTTv5)
        expected = (read.mid, read.reason) if read.reason.is_failure else None
    except MalformedPacket:
        expected = None
    assert refused_pubrec(client) == expected


@pytest.mark.parametrize("code", [0xA5, 0x8E], ids=["unknown", "of another packet"])
@pytest.mark.parametrize("instrumented", [True, False])
def test_paho_judges_a_reason_code_that_no_pubrec_has(
    recorded: Recorded, instrument: Instrument, code: int, instrumented: bool
) -> None:
    """A reason code that PUBREC does not have ends the connection, as without tracing, but not the network thread."""
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    if instrumented:
        instrument()
    else:
        TracedPublisher(client, tracer_provider=recorded.tracer_provider, meter_provider=recorded.meter_provider)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client.connect(*listening.getsockname())
        broker, _ = listening.accept()
    sock: Any = client.socket()
    with broker:
        broker.sendall(bytes([0x50, 3, 0, 1, code]))
        select.select([sock], [], [], 10)
        assert client.loop_read() == MQTTErrorCode.MQTT_ERR_PROTOCOL
