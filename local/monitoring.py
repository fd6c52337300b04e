"""The chart's alerts and dashboards."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from local.cluster import CHART

ALERTS = CHART / "files" / "alerts.yaml"
METRIC = re.compile(r"\b(?:iot|messaging|mqtt|mosquitto|otelcol|http)_\w+")
DASHBOARDS = sorted((CHART / "files" / "dashboards").glob("*.json"))


def alerts(max_reading_age_s: float = 10) -> Any:
    """The groups of rules, as the chart renders them."""
    return yaml.safe_load(ALERTS.read_text().replace("MAX_READING_AGE_SECONDS", str(max_reading_age_s)))


def impatient(rules: Any) -> Any:
    """The same rules with seconds instead of minutes, for tests."""
    return json.loads(re.sub(r"\b\d+m\b", "15s", json.dumps(rules)))


def panels() -> Iterator[tuple[str, str]]:
    """Each query of each dashboard, with its place."""
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", ()):
                yield f"{path.stem}: {panel['title']}: {target['legendFormat']}", target["expr"]


def with_variables(query: str, variables: Mapping[str, str]) -> str:
    """A panel's query with Grafana's variables replaced."""
    for name, value in variables.items():
        query = query.replace(f"${name}", value)
    return query


def left_side(expression: str) -> str:
    """An alert's expression without its comparisons and exceptions: it always has a value, whether it fires or not."""
    compared = re.split(r"^unless", expression, flags=re.MULTILINE)[0]
    return re.sub(r"\s*>\s*[\d.]+", "", compared)


def grouped(query: str) -> set[tuple[str, str]]:
    """Each metric of a query with each label that the query groups by."""
    labels = {label.strip() for clause in re.findall(r"\bby \(([^)]*)\)", query) for label in clause.split(",")}
    selectors = re.sub(r"\b(?:by|on) \([^)]*\)|\{[^}]*\}", "", query)
    return {(metric, label) for metric in METRIC.findall(selectors) for label in labels - {"le"}}
