"""The Collector as the chart configures it, read and run by the real program."""

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from local.needed import skip_without

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


def collector_of(manifests: list[dict[str, Any]]) -> RenderedCollector:
    """Return the Collector of a render as `demo`."""
    found = {manifest["kind"]: manifest for manifest in manifests if manifest["metadata"]["name"] == _NAME}
    (container,) = found["StatefulSet"]["spec"]["template"]["spec"]["containers"]
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
