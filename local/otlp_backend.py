"""An OTLP backend: a second Collector that keeps what it receives, with the headers it came with."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.certificates import Certificates
from local.ports import HOST, free_port
from local.processes import Process, answers_http

Json = dict[str, Any]

_ITEMS = {
    "traces": ("resourceSpans", "scopeSpans", "spans"),
    "metrics": ("resourceMetrics", "scopeMetrics", "metrics"),
    "logs": ("resourceLogs", "scopeLogs", "logRecords"),
}


@dataclass(frozen=True)
class OtlpBackend:
    """A running backend.

    Attributes:
        ports: Its ports by scheme, protocol and path, such as `https`, `http` and `/otlp`.
        file: What it received, a line of JSON for each export.
    """

    ports: dict[tuple[str, str, str], int]
    file: Path

    def resources(self, signal: str) -> list[Json]:
        """Return the resource attributes of all that it received of `traces`, `metrics` or `logs`."""
        resources, _, _ = _ITEMS[signal]
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        exports = [json.loads(line) for line in lines if line.endswith("}")]
        return [attributes_of(item["resource"]) for export in exports for item in export.get(resources, ())]


def attributes_of(part: Json) -> Json:
    """Return the attributes of a resource or an item, in OTLP's JSON."""
    return {item["key"]: next(iter(item["value"].values()), None) for item in part.get("attributes", ())}


@contextmanager
def otlp_backend(
    folder: Path, certificates: Certificates, headers: Sequence[str] = (), paths: Sequence[str] = ("",)
) -> Iterator[OtlpBackend]:
    """Run a backend, which adds these headers of each export to the resources as `header.<name>`.

    Args:
        folder: Where configuration, log and received telemetry go.
        certificates: Its certificate.
        headers: Names of headers to record.
        paths: Paths before `/v1/traces`, such as `""` and `/otlp`.
    """
    kinds = [("http", path) for path in paths] + [("grpc", "")]
    ports = {(scheme, *kind): free_port() for scheme in ("http", "https") for kind in kinds}
    receivers = {
        f"otlp/{number}": {"protocols": {kind[1]: _protocol(kind, port, certificates)}}
        for number, (kind, port) in enumerate(ports.items())
    }
    health = free_port()
    actions = [
        {"key": f"header.{name}", "from_context": f"metadata.{name.lower()}", "action": "insert"} for name in headers
    ]
    processors = {"resource": {"attributes": actions}} if actions else {}
    pipeline = {"receivers": list(receivers), "processors": list(processors), "exporters": ["file"]}
    received = folder / "received.json"
    config = {
        "receivers": receivers,
        "processors": processors,
        "exporters": {"file": {"path": str(received), "flush_interval": "100ms"}},
        "extensions": {"health_check": {"endpoint": f"{HOST}:{health}"}},
        "service": {
            "extensions": ["health_check"],
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": dict.fromkeys(_ITEMS, pipeline),
        },
    }
    (folder / "backend.yaml").write_text(json.dumps(config))
    command = ["otelcol-contrib", "--config", str(folder / "backend.yaml")]
    process = Process("backend", command, log=folder / "backend.log")
    process.start()
    try:
        process.wait_until(answers_http(f"http://{HOST}:{health}"), timeout_s=60)
        yield OtlpBackend(ports, received)
    finally:
        process.stop()


def _protocol(kind: tuple[str, str, str], port: int, certificates: Certificates) -> Json:
    scheme, protocol, path = kind
    settings: Json = {"endpoint": f"{HOST}:{port}", "include_metadata": True}
    if scheme == "https":
        settings["tls"] = {"cert_file": str(certificates.certificate), "key_file": str(certificates.key)}
    if protocol == "http":
        settings |= {f"{signal}_url_path": f"{path}/v1/{signal}" for signal in _ITEMS}
    return settings
