"""What NetworkPolicies let out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.chart.conftest import Render

CREDENTIALS = (
    *("scout.credentials.clientId=a", "scout.credentials.clientSecret=b"),
    *("scout.credentials.tokenUrl=https://id.example.com:8443/token", "scout.credentials.endpoint=http://[::1]/otlp"),
)


@pytest.mark.parametrize("component", ["producer", "consumer", "echo", "operator", "fleet", "test"])
def test_telemetry_gets_to_the_collector_by_either_protocol(render: Render, component: str) -> None:
    """`OTEL_EXPORTER_OTLP_PROTOCOL=grpc` is a matter of variables alone: the Collector lets both in."""
    name = f"demo-mqtt-trace-{component}"
    (policy,) = (m["spec"] for m in render() if (m["kind"], m["metadata"]["name"]) == ("NetworkPolicy", name))
    ports = [
        {port["port"] for port in way["ports"]}
        for way in policy["egress"]
        for peer in way.get("to", [])
        if peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "otel-collector"
    ]
    assert {4317, 4318} in ports


def egress(render: Render, component: str, *values: str, options: tuple[str, ...] = ()) -> list[Any]:
    """The rules of a component's policy, but for the one of DNS."""
    name = f"demo-mqtt-trace-{component}"
    manifests = render(*values, options=options)
    (policy,) = (m["spec"] for m in manifests if (m["kind"], m["metadata"]["name"]) == ("NetworkPolicy", name))
    return [rule for rule in policy["egress"] if {"port": 53, "protocol": "UDP"} not in rule["ports"]]


@pytest.mark.parametrize("component", ["otel-collector", "test"])
@pytest.mark.parametrize(
    ("values", "ports"),
    [
        (CREDENTIALS, {80, 8443}),
        ((*CREDENTIALS, "networkPolicy.scoutPorts={1}"), {80, 8443}),
        ((*CREDENTIALS, "collector.env.HTTPS_PROXY=http://proxy:3128"), {80, 8443, 3128}),
        (("scout.existingSecret=a",), {443}),
        (("scout.existingSecret=a", "networkPolicy.scoutPorts={4318,443}"), {443, 4318}),
        (("scout.existingSecret=a", "collector.env.https_proxy=proxy:3128"), {443, 3128}),
    ],
)
def test_scout_is_reached_on_the_ports_of_its_urls(
    render: Render, component: str, values: tuple[str, ...], ports: set[int]
) -> None:
    """Those of a Secret are not known, so that they have a value."""
    anywhere = [rule["ports"] for rule in egress(render, component, *values) if "to" not in rule]
    assert {port["port"] for rule in anywhere for port in rule} == ports


def test_a_rule_applies_to_both_address_families(render: Render) -> None:
    """Rules name pods or ports and no range of addresses, which would be of one family."""
    outside = ("broker.external.host=broker.example.com", "consumer.echoUrl=https://echo.example.com")
    policies = [m for m in render(*CREDENTIALS, *outside) if m["kind"] == "NetworkPolicy"]
    assert len(policies) > 5
    assert "ipBlock" not in json.dumps(policies)


def test_no_ports_of_scout_let_nothing_out(render: Render) -> None:
    """A rule with an empty list would allow every port."""
    none = ("--set-json", "networkPolicy.scoutPorts=[]")
    assert egress(render, "otel-collector", "scout.existingSecret=a", options=none) == []


@pytest.mark.parametrize(
    ("component", "value", "port"),
    [
        ("consumer", "consumer.echoUrl=https://[2001:db8::1]/a:81", 443),
        ("consumer", "consumer.echoUrl=http://echo.example.com:8080", 8080),
        ("consumer", "broker.external.host=2001:db8::1", 1883),
        ("echo", "collector.external.endpoint=http://otel:4318/otlp", 4318),
        ("fleet", "broker.external.port=18830,broker.external.host=b", 18830),
    ],
)
def test_an_address_of_the_values_can_be_reached(render: Render, component: str, value: str, port: int) -> None:
    """On its port, or on the one of its scheme."""
    assert {"ports": [{"port": port, "protocol": "TCP"}]} in egress(render, component, value)


@pytest.mark.parametrize(("ports", "expected"), [("[1883,8883]", {1883, 8883}), ("[18830]", {18830}), ("[]", set())])
def test_a_fleet_reaches_its_target(render: Render, ports: str, expected: set[int]) -> None:
    """Fleets reach a broker of `spec.target` on these ports, and no other pod does."""
    options = ("--set-json", f"networkPolicy.targetPorts={ports}")
    anywhere = [rule["ports"] for rule in egress(render, "fleet", options=options) if "to" not in rule]
    assert {port["port"] for rule in anywhere for port in rule} == expected
    assert [rule for rule in egress(render, "producer", options=options) if "to" not in rule] == []


def test_names_are_resolved_on_openshift_too(render: Render) -> None:
    """Its DNS pods listen on 5353, to which its Service leads."""
    policies = [m["spec"] for m in render() if m["kind"] == "NetworkPolicy" and "egress" in m["spec"]]
    dns = {(port, protocol) for port in (53, 5353) for protocol in ("UDP", "TCP")}
    for policy in policies:
        assert dns in [{(port["port"], port["protocol"]) for port in rule["ports"]} for rule in policy["egress"]]


@pytest.mark.parametrize(
    ("value", "component", "ports"),
    [
        ("broker", "mosquitto", {"mqtt"}),
        ("broker.websockets.enabled=true,broker", "mosquitto", {"mqtt", "websockets"}),
        ("collector", "otel-collector", {"otlp-grpc", "otlp-http"}),
        ("scoutSim", "scout-sim", {"http"}),
        ("echo", "echo", {"http"}),
    ],
)
@pytest.mark.parametrize("kind", ["ClusterIP", "NodePort", "LoadBalancer"])
def test_a_service_for_the_outside_admits_it(
    render: Render, value: str, component: str, ports: set[str], kind: str
) -> None:
    """On the ports of the Service, from any address, and by no other type of Service."""
    manifests = render(f"{value}.service.type={kind}")
    name = f"demo-mqtt-trace-{component}"
    (policy,) = (m["spec"] for m in manifests if (m["kind"], m["metadata"]["name"]) == ("NetworkPolicy", name))
    (service,) = (m["spec"] for m in manifests if (m["kind"], m["metadata"]["name"]) == ("Service", name))
    assert (service["type"], {port["targetPort"] for port in service["ports"]}) == (kind, ports)
    anywhere = [rule["ports"] for rule in policy["ingress"] if "from" not in rule]
    assert {port["port"] for rule in anywhere for port in rule} == (set() if kind == "ClusterIP" else ports)
