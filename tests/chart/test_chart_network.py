"""What NetworkPolicies let out."""

from __future__ import annotations

import pytest

from tests.chart.conftest import Render


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
