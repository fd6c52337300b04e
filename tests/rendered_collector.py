"""The Collector as the chart configures it, read and run by the real program."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from local.needed import skip_without
from local.ports import HOST, free_port
from local.processes import Process, answers_http

_NAME = "demo-mqtt-trace-otel-collector"


@dataclass(frozen=True)
class RenderedCollector:
    """What the chart gives the Collector.

    Attributes:
        config: The configuration.
        env: Variables with values, and those from Secrets, whose values are `<Secret>/<key>`.
    """

    config: str
    env: dict[str, str] = field(default_factory=dict)

    @property
    def parts(self) -> dict[str, Any]:
        """The configuration as YAML."""
        loaded: dict[str, Any] = yaml.safe_load(self.config)
        return loaded

    def validate(self, folder: Path) -> str:
        """Return what the Collector has to say against the configuration; empty if it accepts it."""
        skip_without("otelcol-contrib")
        file = folder / "config.yaml"
        file.write_text(self.config)
        done = subprocess.run(
            ["otelcol-contrib", "validate", "--config", str(file)],
            env={"PATH": os.environ["PATH"], "COLLECTOR_STORAGE": str(folder / "storage"), **self.env},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return done.stderr if done.returncode else ""

    @contextmanager
    def running(self, folder: Path, **env: str) -> Iterator[str]:
        """Run the Collector with these variables over the chart's; returns its OTLP/HTTP address."""
        file = folder / "config.yaml"
        file.write_text(self.config.replace("/var/log/otelcol", str(folder)))
        ports = {name: free_port() for name in ("HEALTH", "GRPC", "HTTP", "METRICS")}
        given = {"PATH": os.environ["PATH"], "COLLECTOR_HOST": HOST, "COLLECTOR_STORAGE": str(folder / "storage")}
        given |= {f"COLLECTOR_{name}_PORT": str(port) for name, port in ports.items()}
        command = ["otelcol-contrib", "--config", str(file)]
        process = Process("collector", command, log=folder / "collector.log", env={**given, **self.env, **env})
        process.start()
        try:
            process.wait_until(answers_http(f"http://{HOST}:{ports['HEALTH']}"), timeout_s=60)
            yield f"http://{HOST}:{ports['HTTP']}"
        finally:
            process.stop()


def collector_of(manifests: list[dict[str, Any]]) -> RenderedCollector:
    """Return the Collector of a render as `demo`."""
    found = {manifest["kind"]: manifest for manifest in manifests if manifest["metadata"]["name"] == _NAME}
    container, *_sidecars = found["StatefulSet"]["spec"]["template"]["spec"]["containers"]
    return RenderedCollector(
        found["ConfigMap"]["data"]["config.yaml"], {item["name"]: _text(item) for item in container["env"]}
    )


def _text(variable: dict[str, Any]) -> str:
    if "value" in variable:
        return str(variable["value"])
    ((kind, source),) = variable["valueFrom"].items()
    if kind == "fieldRef":
        return str(source["fieldPath"])
    scheme = "http://" if variable["name"] in {"SCOUT_TOKEN_URL", "SCOUT_OTLP_ENDPOINT"} else ""
    return f"{scheme}{source['name']}/{source['key']}"
