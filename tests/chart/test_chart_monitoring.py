"""Alerts, dashboards and what Prometheus scrapes."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.documents import ROOT
from local.monitoring import DASHBOARDS, METRIC, alerts, panels
from local.needed import needs
from tests.chart.conftest import Manifest, Render

ALL = [f"monitoring.{part}.enabled=true" for part in ("podMonitor", "prometheusRule", "dashboards")]


def find(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    """One of the manifests, by its name without the release's."""
    (found,) = (m for m in manifests if (m["kind"], m["metadata"]["name"]) == (kind, f"demo-mqtt-trace-{name}"))
    return found


def rules() -> list[dict[str, Any]]:
    """The alerts."""
    return [rule for group in alerts()["groups"] for rule in group["rules"]]


def test_nothing_of_monitoring_is_installed_by_default(render: Render) -> None:
    """Without the Prometheus Operator's CRDs the chart installs."""
    manifests = render()
    assert not {m["kind"] for m in manifests} & {"PodMonitor", "PrometheusRule"}
    assert not [m for m in manifests if "broker-metrics" in m["metadata"]["name"]]


def test_prometheus_scrapes_the_ports_of_the_collectors(render: Render) -> None:
    """The PodMonitor selects the Collectors' pods, whose ports have its names, and the NetworkPolicy opens them."""
    manifests = render(*ALL, "monitoring.podMonitor.interval=15s", "monitoring.podMonitor.labels.release=kube")
    monitor = find(manifests, "PodMonitor", "otel-collector")
    endpoints = monitor["spec"]["podMetricsEndpoints"]
    assert endpoints == [{"port": name, "interval": "15s"} for name in ("metrics", "prometheus")]
    assert monitor["metadata"]["labels"]["release"] == "kube"
    template = find(manifests, "StatefulSet", "otel-collector")["spec"]["template"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    container, *_sidecars = template["spec"]["containers"]
    assert {"metrics", "prometheus"} <= {port["name"] for port in container["ports"]}
    ingress = find(manifests, "NetworkPolicy", "otel-collector")["spec"]["ingress"]
    peer = {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app.kubernetes.io/name": "prometheus"}}}
    ports = [{"port": name, "protocol": "TCP"} for name in ("metrics", "prometheus")]
    assert {"from": [peer], "ports": ports} in ingress


def test_the_collector_gets_a_pipeline_for_prometheus(render: Render) -> None:
    """Monitoring adds a pipeline, and leaves the others as they are."""
    before, after = (
        yaml.safe_load(find(render(*values), "ConfigMap", "otel-collector")["data"]["config.yaml"])["service"][
            "pipelines"
        ]
        for values in ((), ALL)
    )
    assert after.pop("metrics/prometheus")["exporters"] == ["prometheus"]
    assert after == before


@pytest.mark.parametrize(("values", "there"), [(["brokerMetrics.enabled=true"], True), (ALL, True), ([], False)])
def test_mosquitto_has_a_user_for_its_statistics_only_if_they_are_read(
    render: Render, values: list[str], there: bool
) -> None:
    """The user, its password and its ACL come with broker-metrics, and may read the statistics alone."""
    manifests = render(*values)
    data = find(manifests, "ConfigMap", "mosquitto")["data"]
    assert ("user broker-metrics\ntopic read $SYS/broker/#\n" in data["acl"]) is there
    assert ("producer consumer broker-metrics; do" in data["make-access"]) is there
    assert ("broker-metrics-password" in find(manifests, "Secret", "auth")["data"]) is there


def test_with_an_external_broker_there_are_no_statistics(render: Render) -> None:
    """Monitoring works without them."""
    manifests = render(*ALL, "broker.external.host=mqtt.example.com")
    assert not [m for m in manifests if "broker-metrics" in m["metadata"]["name"]]


def test_the_rules_are_rendered_as_they_are_tested(render: Render) -> None:
    """Prometheus' own template expressions stay, and the bound of the age is the value's."""
    manifests = render(*ALL, "monitoring.prometheusRule.maxReadingAgeSeconds=30")
    assert find(manifests, "PrometheusRule", "alerts")["spec"] == alerts(30)


def test_the_dashboards_are_found_by_their_label(render: Render) -> None:
    """Each is in a ConfigMap with the usual label, and unchanged."""
    for path in DASHBOARDS:
        config_map = find(render(*ALL), "ConfigMap", f"dashboard-{path.stem}")
        assert config_map["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert json.loads(config_map["data"][f"mqtt-trace-{path.name}"]) == json.loads(path.read_text())


def test_dashboards_ask_the_chosen_data_source() -> None:
    """Every panel has a title, a description, and the variable as its data source."""
    for path in DASHBOARDS:
        dashboard = json.loads(path.read_text())
        assert [variable["name"] for variable in dashboard["templating"]["list"]] == ["datasource", "namespace"]
        for panel in dashboard["panels"]:
            if panel["type"] != "row":
                assert panel["title"]
                assert panel["description"]
                assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}


def test_panels_show_the_chosen_namespace_only() -> None:
    """Every metric of every query is selected by namespace."""
    for place, query in panels():
        for metric in METRIC.findall(re.sub(r"by \([^)]*\)|\{[^}]*\}", "", query)):
            assert re.search(rf"{metric}\{{namespace=~\"\$namespace\"", query), f"{place}: {metric}"


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_each_alert_links_to_its_section(rule: dict[str, Any]) -> None:
    """The runbook is a section of the troubleshooting page, with the alert's name as its heading."""
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert page.endswith("/docs/troubleshooting.md")
    assert anchor == rule["alert"].lower()
    assert f"\n### {rule['alert']}\n" in (ROOT / "docs" / "troubleshooting.md").read_text()


@needs("promtool")
def test_each_alert_fires_when_it_should_and_only_then(tmp_path: Path) -> None:
    """Prometheus accepts the rules, and every case of alert_tests.yaml comes out as it says."""
    (tmp_path / "alerts.yaml").write_text(yaml.safe_dump(alerts()))
    cases = Path(__file__).with_name("alert_tests.yaml").read_text()
    (tmp_path / "alert_tests.yaml").write_text(cases)
    for command in (["check", "rules", "alerts.yaml"], ["test", "rules", "alert_tests.yaml"]):
        done = subprocess.run(["promtool", *command], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_has_a_case_in_which_it_fires() -> None:
    """Every alert of the chart is in alert_tests.yaml, firing and silent."""
    cases = yaml.safe_load(Path(__file__).with_name("alert_tests.yaml").read_text())["tests"]
    expected = [(case["alertname"], bool(case.get("exp_alerts"))) for test in cases for case in test["alert_rule_test"]]
    assert set(expected) == {(rule["alert"], fires) for rule in rules() for fires in (True, False)}
