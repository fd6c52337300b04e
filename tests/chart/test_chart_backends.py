"""What the values make of the Collector's pipelines: further exporters, and a configuration over the chart's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.chart.conftest import Refuse, Render
from tests.rendered_collector import collector_of

TEMPO = (
    "collector.exporters.tempo.endpoint=http://tempo.monitoring:4317",
    "collector.exporters.tempo.protocol=grpc",
)
ACCOUNT = {"headers": {"authorization": {"secretKeyRef": {"name": "account", "key": "token"}}, "x-team": "a$b"}}


def given(**collector: object) -> tuple[str, ...]:
    """Options of Helm with these values of the Collector."""
    return tuple(
        part for name, value in collector.items() for part in ("--set-json", f"collector.{name}={json.dumps(value)}")
    )


def pipelines(parts: dict[str, Any]) -> dict[str, list[str]]:
    """The exporters of each pipeline."""
    return {name: pipeline["exporters"] for name, pipeline in parts["service"]["pipelines"].items()}


def test_the_configuration_of_a_user_is_merged_over_the_charts(render: Render, tmp_path: Path) -> None:
    """Maps are merged, lists are replaced, null removes a key, and a variable is left to the Collector."""
    config = {
        "processors": {"memory_limiter": {"limit_percentage": 70, "spike_limit_percentage": None}},
        "exporters": {"debug": None, "otlp_http/mine": {"endpoint": "${env:MINE}"}},
        "service": {"pipelines": {name: {"exporters": ["otlp_http/mine"]} for name in ("traces", "metrics", "logs")}},
    }
    collector = collector_of(render("collector.env.MINE=http://mine", options=given(config=config)))
    assert collector.parts["processors"]["memory_limiter"] == {"check_interval": "1s", "limit_percentage": 70}
    assert collector.parts["exporters"].keys() == {"otlp_http/b14", "otlp_http/mine"}
    assert set(map(tuple, pipelines(collector.parts).values())) == {("otlp_http/mine",)}
    assert collector.parts["exporters"]["otlp_http/b14"]["sending_queue"]["queue_size"] == 429496729
    assert collector.validate(tmp_path) == ""


def test_a_pipeline_of_a_users_own_needs_no_processors(render: Render, tmp_path: Path) -> None:
    """It is taken as the Collector takes it."""
    pipeline = {"receivers": ["otlp/own"], "exporters": ["debug"]}
    own = {"otlp/own": {"protocols": {"http": {"endpoint": "localhost:0"}}}}
    config = {"receivers": own, "service": {"pipelines": {"traces/own": pipeline}}}
    collector = collector_of(render(options=given(config=config)))
    assert collector.parts["service"]["pipelines"]["traces/own"] == pipeline
    assert collector.validate(tmp_path) == ""


def test_a_pipeline_with_a_part_that_is_not_defined_is_refused(refuse: Refuse) -> None:
    """The sentence names pipeline and part, instead of a Collector that does not start."""
    message = refuse(options=given(config={"exporters": {"debug": None}}))
    assert (
        "collector.config: service.pipelines.logs.exporters has debug, which the configuration does not define"
        in message
    )


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_an_exporter_joins_the_pipelines_with_a_queue_of_its_own(render: Render, protocol: str, tmp_path: Path) -> None:
    """It has all that Scout's has but its login, and stands next to it in the pipelines of its signals."""
    tempo = {"endpoint": "https://tempo:4317", "protocol": protocol, "signals": ["traces", "logs"], **ACCOUNT}
    collector = collector_of(render(options=given(exporters={"tempo": tempo})))
    name = {"http": "otlp_http/tempo", "grpc": "otlp_grpc/tempo"}[protocol]
    scout = collector.parts["exporters"]["otlp_http/b14"]
    assert collector.parts["exporters"][name] == {key: value for key, value in scout.items() if key != "auth"} | {
        "endpoint": "https://tempo:4317",
        "headers": {"authorization": "${env:EXPORTER_TEMPO__AUTHORIZATION}", "x-team": "a$$b"},
    }
    has = {signal: name in exporters for signal, exporters in pipelines(collector.parts).items()}
    assert has == {"traces": True, "metrics": False, "logs": True}
    assert all("otlp_http/b14" in exporters for exporters in pipelines(collector.parts).values())
    assert collector.env["EXPORTER_TEMPO__AUTHORIZATION"] == "account/token"
    assert collector.validate(tmp_path) == ""


@pytest.mark.parametrize(("scheme", "tls"), [("http", {"insecure": True}), ("https", None)])
def test_the_scheme_decides_whether_grpc_uses_tls(render: Render, scheme: str, tls: dict[str, bool] | None) -> None:
    """The Collector itself would use TLS for `http://` as well."""
    parts = collector_of(render(*TEMPO, f"collector.exporters.tempo.endpoint={scheme}://tempo:4317")).parts
    assert parts["exporters"]["otlp_grpc/tempo"].get("tls") == tls


def test_without_scout_nothing_of_it_is_left(render: Render, tmp_path: Path) -> None:
    """Neither scout-sim, nor its Secret, nor a variable, an exporter or a login that would need it."""
    manifests = render("scout.enabled=false", *TEMPO)
    assert not [name for m in manifests if "scout" in (name := m["metadata"]["name"])]
    assert not [m for m in manifests if m["kind"] != "ConfigMap" and "scout-sim:" in json.dumps(m)]
    collector = collector_of(manifests)
    assert set(map(tuple, pipelines(collector.parts).values())) == {("debug", "otlp_grpc/tempo")}
    assert not [name for name in collector.env if name.startswith("SCOUT_") and name != "SCOUT_ENVIRONMENT"]
    assert "oauth2client" not in collector.config
    assert collector.validate(tmp_path) == ""


@pytest.mark.parametrize(
    ("values", "exporters"),
    [
        (TEMPO, "otlp_grpc/tempo"),
        (("scout.existingSecret=mine", *TEMPO), "otlp_http/b14,otlp_grpc/tempo"),
        (("scout.enabled=false", *TEMPO), "otlp_grpc/tempo"),
        (("scout.existingSecret=mine", *TEMPO, "collector.exporters.tempo.signals={metrics}"), "otlp_http/b14"),
        ((), ""),
    ],
)
def test_helm_test_waits_for_the_delivery_of_each_exporter(
    render: Render, values: tuple[str, ...], exporters: str
) -> None:
    """All that get traces, but for scout-sim, in which it looks for the trace itself."""
    (test,) = (manifest for manifest in render(*values) if manifest["kind"] == "Pod")
    (container,) = test["spec"]["containers"]
    variables = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert variables["COLLECTOR_EXPORTERS"] == exporters


def ports_out(manifests: list[dict[str, Any]], component: str = "otel-collector") -> set[int]:
    """The ports on which a component may reach any address."""
    name = f"demo-mqtt-trace-{component}"
    (policy,) = (m["spec"] for m in manifests if (m["kind"], m["metadata"]["name"]) == ("NetworkPolicy", name))
    return {port["port"] for way in policy["egress"] if "to" not in way for port in way["ports"]} - {53, 5353}


@pytest.mark.parametrize(
    ("values", "ports"),
    [
        ((), set()),
        (TEMPO, {4317}),
        (("collector.exporters.a.endpoint=https://a", "collector.exporters.b.endpoint=http://b/otlp"), {80, 443}),
        (("collector.env.HTTPS_PROXY=http://proxy.corp:3128",), {3128}),
        (("collector.env.HTTPS_PROXY=http://user:1@proxy.corp/", "collector.env.http_proxy=https://p"), {80, 443}),
        (("networkPolicy.collectorPorts={3100}", *TEMPO), {3100, 4317}),
        (("scout.enabled=false", *TEMPO), {4317}),
        (("scout.existingSecret=mine", *TEMPO), {443, 4317}),
    ],
)
def test_the_network_policy_lets_telemetry_out_to_each_backend(
    render: Render, values: tuple[str, ...], ports: set[int]
) -> None:
    """By the port of its URL, or of a proxy's, and by those that are given."""
    assert ports_out(render(*values)) == ports


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (("scout.enabled=false",), "scout.enabled is false and collector.exporters is empty"),
        (
            ("scout.enabled=false", "scout.existingSecret=mine", *TEMPO),
            "scout.enabled is false, but Scout's credentials",
        ),
        ((*TEMPO, "collector.exporters.tempo.endpoint=https://tempo"), "for gRPC, it is a scheme, a host and a port"),
        (
            (*TEMPO, "collector.exporters.tempo.endpoint=https://t:1/otlp"),
            "for gRPC, it is a scheme, a host and a port",
        ),
        (("collector.exporters.a.endpoint=http://a/$b",), "collector.exporters.a.endpoint contains $"),
        (("collector.external.endpoint=http://c", *TEMPO), "replaces the Collector that collector.exporters is for"),
        (("collector.exporters.b14.endpoint=http://a",), "b14"),
        (("collector.exporters.a.endpoint=",), "endpoint"),
        (("collector.exporters.a.endpoint=tempo:4317",), "endpoint"),
        (("collector.exporters.a.endpoint=http://a", "collector.exporters.a.header=x"), "header"),
        (("collector.exporters.a.endpoint=http://a", "collector.exporters.a.headers.b="), "headers"),
        (("collector.config.exporter.a=1",), "exporter"),
        (("collector.config.service.pipelines.traces=otlp",), "/collector/config/service/pipelines/traces"),
    ],
)
def test_values_that_cannot_work_are_refused(refuse: Refuse, values: tuple[str, ...], sentence: str) -> None:
    """In one sentence that names the value."""
    assert sentence in refuse(*values)
