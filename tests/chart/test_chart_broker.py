"""What the chart's Mosquitto takes."""

from __future__ import annotations

import json
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


def test_every_client_presents_its_certificate(render: Render) -> None:
    """With `broker.external.clientSecret` producer, consumer, fleets and `helm test` read the certificate from it."""
    external = [f"broker.external.{value}" for value in ("host=b", "tls=true", "caSecret=ca", "clientSecret=mine")]
    manifests = {(m["kind"], m["metadata"]["name"]): m for m in render(*external)}
    template = manifests["ConfigMap", "demo-mqtt-trace-operator"]["data"]["pod-template.json"]
    pods = {
        "producer": manifests["Deployment", "demo-mqtt-trace-producer"]["spec"]["template"]["spec"],
        "consumer": manifests["StatefulSet", "demo-mqtt-trace-consumer"]["spec"]["template"]["spec"],
        "test": manifests["Pod", "demo-mqtt-trace-test"]["spec"],
        "fleet": json.loads(template)["spec"],
    }
    for name, pod in pods.items():
        (container,) = pod["containers"]
        env = {variable["name"]: variable.get("value") for variable in container["env"]}
        (mount,) = (mount for mount in container["volumeMounts"] if mount["name"] == "client")
        (volume,) = (volume["secret"] for volume in pod["volumes"] if volume["name"] == "client")
        files = {f"{mount['mountPath']}/{item['path']}": item["key"] for item in volume["items"]}
        assert volume["secretName"] == "mine", name
        assert files == {env["MQTT_TLS_CERT_FILE"]: "tls.crt", env["MQTT_TLS_KEY_FILE"]: "tls.key"}, name
    assert "MQTT_TLS_CERT_FILE" not in json.dumps(render(*external[:-1]))


@needs_ipv6
def test_it_is_reached_by_both_families(render: Render, make_broker: Callable[..., Mosquitto]) -> None:
    """The chart's listener names no address."""
    (config,) = (m["data"]["mosquitto.conf"] for m in render() if "mosquitto.conf" in m.get("data", {}))
    (listener,) = (line for line in config.splitlines() if line.startswith("listener"))
    port = free_port()
    make_broker(config=[listener.replace("1883", str(port))])
    assert connects("127.0.0.1", port)
    assert connects("::1", port)
