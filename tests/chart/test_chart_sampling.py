"""Sampling by values: at the start of traces, and in the Collector when they are complete."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from local.certificates import make_certificates
from local.needed import needs
from local.otlp_backend import OtlpBackend, otlp_backend
from local.ports import HOST
from local.waiting import until
from tests.chart.conftest import Manifest, Refuse, Render
from tests.rendered_collector import collector_of

SAMPLERS = {"OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"}


def samplers(manifests: list[Manifest]) -> dict[str, dict[str, str]]:
    """The sampler of each container that has one."""
    pods = [m["spec"] if m["kind"] == "Pod" else m["spec"]["template"]["spec"] for m in manifests if has_pods(m)]
    found = {
        container["name"]: {v["name"]: v["value"] for v in container.get("env", ()) if v["name"] in SAMPLERS}
        for pod in pods
        for container in pod["containers"]
    }
    return {name: variables for name, variables in found.items() if variables}


def has_pods(manifest: Manifest) -> bool:
    """Whether it is a pod or makes pods."""
    return manifest["kind"] in {"Pod", "Deployment", "StatefulSet"}


@pytest.mark.parametrize("ratio", ["0", "0.05"])
def test_one_value_samples_where_traces_begin(render: Render, ratio: str) -> None:
    """Every service follows its parent and samples its own roots; the check of `helm test` is always sampled."""
    manifests = render(f"sampling.ratio={ratio}")
    expected = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": ratio}
    assert samplers(manifests) == dict.fromkeys(("producer", "consumer", "echo", "operator"), expected)
    (template,) = [m["data"]["pod-template.json"] for m in manifests if "pod-template.json" in m.get("data", {})]
    assert '"OTEL_TRACES_SAMPLER"' in template


def test_a_variable_of_a_component_wins(render: Render) -> None:
    """So that one service can have a sampler of its own."""
    manifests = render("sampling.ratio=0.05", "echo.env.OTEL_TRACES_SAMPLER=always_on")
    assert samplers(manifests)["echo"]["OTEL_TRACES_SAMPLER"] == "always_on"


def test_all_traces_are_kept_by_default(render: Render) -> None:
    """No variable is set, so that the SDK's default stays."""
    assert samplers(render()) == {}
    assert "tail_sampling" not in collector_of(render()).config


@pytest.mark.parametrize("ratio", ["1.5", "-1", "a", "1e3"])
def test_a_share_is_from_0_to_1(refuse: Refuse, ratio: str) -> None:
    """Helm names the value."""
    assert "/sampling/ratio" in refuse(f"sampling.ratio={ratio}")


def test_tail_sampling_needs_one_collector(refuse: Refuse) -> None:
    """Two would each see half of a trace."""
    message = refuse("collector.tailSampling.enabled=true", "collector.replicas=2")
    assert "all spans of a trace must reach the same Collector" in message


@needs("otelcol-contrib")
def test_the_collector_keeps_what_is_worth_keeping(render: Render, tmp_path: Path) -> None:
    """With a share of 0: errors, slow traces, missing contexts, the check of `helm test`, and what a policy names."""
    with otlp_backend(tmp_path, make_certificates(tmp_path)) as backend:
        collector = collector_of(
            render(
                "scout.enabled=false",
                f"collector.exporters.backend.endpoint=http://{HOST}:{backend.ports['http', 'http', '']}",
                "collector.tailSampling.enabled=true",
                "collector.tailSampling.ratio=0",
                "collector.tailSampling.decisionWaitSeconds=1",
                options=("--set-json", f"collector.tailSampling.policies={POLICIES}"),
            )
        )
        with collector.running(tmp_path) as url:
            httpx.post(f"{url}/v1/traces", json=traces(), trust_env=False).raise_for_status()
            kept = {"failed", "slow", "without-context", "mqtt-trace-check", "acme"}
            until(lambda: kept <= services(backend), "all that is worth keeping is in the backend")
            assert services(backend) == kept


def services(backend: OtlpBackend) -> set[str]:
    """The services of which a backend has spans."""
    return {str(resource["service.name"]) for resource in backend.resources("traces")}


POLICIES = (
    '[{"name": "tenant", "type": "string_attribute", "string_attribute": {"key": "service.name", "values": ["acme"]}}]'
)


def traces() -> dict[str, Any]:
    """One trace of each kind, of a service that is named like it."""
    kinds: dict[str, dict[str, Any]] = {
        "ordinary": {},
        "failed": {"status": {"code": 2}},
        "slow": {"endTimeUnixNano": str(3 * 10**9)},
        "without-context": {"attributes": [{"key": "mqtt.missing_context", "value": {"boolValue": True}}]},
        "mqtt-trace-check": {},
        "acme": {},
    }
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": name}}]},
                "scopeSpans": [{"spans": [{**span(number), **others}]}],
            }
            for number, (name, others) in enumerate(kinds.items(), start=1)
        ]
    }


def span(number: int) -> dict[str, Any]:
    """A span of 1 ms, the only one of its trace."""
    times = {"startTimeUnixNano": str(10**9), "endTimeUnixNano": str(10**9 + 10**6)}
    return {"traceId": f"{number:032x}", "spanId": f"{number:016x}", "name": "test", "kind": 1, **times}
