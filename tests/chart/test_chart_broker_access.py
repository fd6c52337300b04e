"""Who may do what on the chart's Mosquitto, and by which listeners."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml

from local.needed import skip_without
from local.waiting import until
from tests.chart.conftest import Render, template
from tests.chart.rendered_mosquitto import Answers, RenderedMosquitto, subscribe

ALLOWED, NOT_AUTHORIZED, RETAIN_NOT_SUPPORTED = (0, 0x10), 0x87, 0x9A
OPEN = """\
broker:
  websockets: { enabled: true }
  extraConfig: |
    max_keepalive 1000
    retain_available false
  users:
    - name: dashboard
      passwordSecret: { name: dashboard, key: password }
      acl: [topic read sensors/#]
    - name: gateway
      passwordSecret: { name: gateway, key: password }
      acl: [topic readwrite gateways/#, pattern write alarms/%u]
"""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RenderedMosquitto]:
    """The chart's Mosquitto with further users, a WebSockets listener and further lines."""
    folder = tmp_path_factory.mktemp("mosquitto")
    values = tmp_path_factory.mktemp("values") / "values.yaml"
    values.write_text(OPEN)
    skip_without("helm")
    done = template("helm", (), "--values", str(values))
    assert done.returncode == 0, done.stderr
    manifests = [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]
    with RenderedMosquitto(manifests, folder, {"dashboard": "dashboard", "gateway": "gateway"}) as running:
        yield running


@pytest.mark.parametrize(
    ("user", "topic", "allowed"),
    [
        ("producer", "sensors/me/reading", True),
        ("producer", "sensors/other/reading", False),
        ("producer", "dead-letter/x", False),
        ("consumer", "sensors/_probe-me/reading", True),
        ("consumer", "dead-letter/sensors/x/reading", True),
        ("consumer", "sensors/other/reading", False),
        ("consumer", "mqtt-trace/receipts/iot.demo-receipts-0", True),
        ("consumer", "mqtt-trace/other", False),
        ("producer", "mqtt-trace/receipts/iot.demo-receipts-0", False),
        ("dashboard", "mqtt-trace/receipts/iot.demo-receipts-0", False),
        ("dashboard", "sensors/other/reading", False),
        ("dashboard", "gateways/x", False),
        ("gateway", "gateways/x", True),
        ("gateway", "alarms/gateway", True),
        ("gateway", "alarms/other", False),
    ],
)
def test_a_user_may_publish_what_its_lines_say(
    broker: RenderedMosquitto, user: str, topic: str, *, allowed: bool
) -> None:
    """A sensor publishes its own readings only, and a further user what `acl` allows."""
    with broker.client(user, "me") as client:
        code = Answers(client).publish(topic)
    assert code in ALLOWED if allowed else code == NOT_AUTHORIZED


def test_a_program_in_a_browser_is_served(broker: RenderedMosquitto) -> None:
    """A further user receives readings by WebSockets."""
    received: list[bytes] = []
    with broker.client("dashboard", "dashboard-1", received, transport="websockets") as dashboard:
        subscribe(dashboard, "sensors/+/reading")
        with broker.client("producer", "sensor-007") as producer:
            assert Answers(producer).publish("sensors/sensor-007/reading", b"over websockets") == 0
        until(lambda: b"over websockets" in received, "the dashboard receives the reading")


def test_only_the_pods_of_fleets_receive_receipts(broker: RenderedMosquitto) -> None:
    """What a consumer confirms reaches the producer's user, and no further user."""
    received: list[bytes] = []
    overheard: list[bytes] = []
    with (
        broker.client("producer", "iot.demo-receipts-0", received) as producer,
        broker.client("gateway", "gateway-1", overheard) as gateway,
        broker.client("consumer", "consumer-0") as consumer,
    ):
        subscribe(producer, "mqtt-trace/receipts/iot.demo-receipts-0")
        subscribe(gateway, "mqtt-trace/receipts/#")
        subscribe(gateway, "gateways/#")
        assert Answers(consumer).publish("mqtt-trace/receipts/iot.demo-receipts-0", b"a receipt") == 0
        until(lambda: b"a receipt" in received, "the producer receives the receipt")
        Answers(gateway).publish("gateways/last", b"last")
        until(lambda: b"last" in overheard, "all that the gateway receives")
    assert overheard == [b"last"]


def test_lines_of_the_users_own_count(broker: RenderedMosquitto) -> None:
    """Mosquitto refuses retained messages, as `extraConfig` says."""
    reasons: list[int] = []
    with broker.client("producer", "sensor-008") as producer:
        producer.on_disconnect = lambda _client, _userdata, _flags, reason, _properties: reasons.append(reason.value)
        producer.publish("sensors/sensor-008/reading", b"{}", 1, retain=True)
        until(lambda: RETAIN_NOT_SUPPORTED in reasons, "the broker disconnects the client")


def test_the_listener_for_browsers_is_reached(render: Render) -> None:
    """Service, container and NetworkPolicy have its port."""
    manifests = render("broker.websockets.enabled=true", "broker.websockets.port=8083")
    specs = {
        m["kind"]: m["spec"] for m in manifests if m["metadata"]["name"] == "demo-mqtt-trace-mosquitto" and "spec" in m
    }
    assert {"name": "websockets", "port": 8083, "targetPort": "websockets"} in specs["Service"]["ports"]
    assert {"port": "websockets", "protocol": "TCP"} in specs["NetworkPolicy"]["ingress"][0]["ports"]
