"""A real Prometheus on a free port, for tests of metrics, dashboards and alerts."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from local.ports import HOST, free_port
from local.processes import Process, answers_http

PROMETHEUS = "prometheus"


class Prometheus:
    """Scrapes targets each second while the `with` block runs.

    Args:
        targets: Addresses as `host:port`, whose metrics are below `/metrics`.
        labels: Labels of all targets.
        rules: Groups of alerts, evaluated each second.
        folder: Where configuration, data and log go.
    """

    def __init__(
        self, targets: Sequence[str], labels: Mapping[str, str], rules: Mapping[str, Any], folder: Path
    ) -> None:
        port = free_port()
        self._url = f"http://{HOST}:{port}"
        scrape = {"job_name": "collector", "static_configs": [{"targets": list(targets), "labels": dict(labels)}]}
        config = folder / "prometheus.json"
        rule_file = folder / "rules.json"
        rule_file.write_text(json.dumps(rules))
        intervals = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config.write_text(json.dumps({"global": intervals, "rule_files": [str(rule_file)], "scrape_configs": [scrape]}))
        command = [
            PROMETHEUS,
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'prometheus'}",
            f"--web.listen-address={HOST}:{port}",
        ]
        self._process = Process("prometheus", command, log=folder / "prometheus.log")

    def query(self, expression: str) -> list[float]:
        """Return the values of an instant query, without those that are not a number.

        Raises:
            httpx.HTTPStatusError: Prometheus refuses the query.
        """
        answer = httpx.get(f"{self._url}/api/v1/query", params={"query": expression}, trust_env=False, timeout=30)
        data: Any = answer.raise_for_status().json()["data"]
        values = [float(series["value"][1]) for series in data["result"]]
        return [value for value in values if not math.isnan(value)]

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire."""
        data: Any = httpx.get(f"{self._url}/api/v1/alerts", trust_env=False, timeout=30).raise_for_status().json()
        return {alert["labels"]["alertname"] for alert in data["data"]["alerts"] if alert["state"] == "firing"}

    def __enter__(self) -> Self:
        self._process.start()
        self._process.wait_until(answers_http(f"{self._url}/-/ready"))
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.stop()
