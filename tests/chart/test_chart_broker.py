"""What the chart's Mosquitto takes."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties

from local.mosquitto import Mosquitto
from local.ports import free_port
from service.tests.ipv6 import connects, needs_ipv6
from tests.chart.conftest import Render


def test_a_reading_that_the_consumer_could_not_hold_is_not_taken(
    render: Render, make_broker: Callable[..., Mosquitto]
) -> None:
    """A broker with the chart's limits tells its clients that a packet has at most two megabytes."""
    (config,) = (m["data"]["mosquitto.conf"] for m in render() if "mosquitto.conf" in m.get("data", {}))
    broker = make_broker(config=[line for line in config.splitlines() if line.startswith("max_packet_size")])
    connacks: SimpleQueue[Properties | None] = SimpleQueue()
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.on_connect = lambda _client, _userdata, _flags, _reason, properties: connacks.put(properties)
    client.connect(broker.host, broker.port)
    client.loop_start()
    try:
        assert getattr(connacks.get(timeout=30), "MaximumPacketSize", None) == 2 * 1024 * 1024
    finally:
        client.disconnect()
        client.loop_stop()


@needs_ipv6
def test_it_is_reached_by_both_families(render: Render, make_broker: Callable[..., Mosquitto]) -> None:
    """The chart's listener names no address."""
    (config,) = (m["data"]["mosquitto.conf"] for m in render() if "mosquitto.conf" in m.get("data", {}))
    (listener,) = (line for line in config.splitlines() if line.startswith("listener"))
    port = free_port()
    make_broker(config=[listener.replace("1883", str(port))])
    assert connects("127.0.0.1", port)
    assert connects("::1", port)
