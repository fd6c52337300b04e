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


class PrometheusApi:
    """The query API of a Prometheus.

    Args:
        http: Sends the requests, whose paths begin with `/api/v1/`.
    """

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def query(self, expression: str) -> list[float]:
        """Return the values of an instant query, without those that are not a number.

        Raises:
            httpx.HTTPStatusError: Prometheus refuses the query.
        """
        values = [float(series["value"][1]) for series in self._get("query", query=expression)["result"]]
        return [value for value in values if not math.isnan(value)]

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire."""
        return {alert["labels"]["alertname"] for alert in self._get("alerts")["alerts"] if alert["state"] == "firing"}

    def rules(self) -> set[str]:
        """Return the names of the alerts that it knows."""
        return {rule["name"] for group in self._get("rules")["groups"] for rule in group["rules"]}

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def _get(self, path: str, **parameters: str) -> Any:
        return self._http.get(f"/api/v1/{path}", params=parameters).raise_for_status().json()["data"]


class Prometheus(PrometheusApi):
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
        super().__init__(httpx.Client(base_url=self._url, trust_env=False, timeout=30))
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

    def __enter__(self) -> Self:
        self._process.start()
        self._process.wait_until(answers_http(f"{self._url}/-/ready"))
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
        self._process.stop()
