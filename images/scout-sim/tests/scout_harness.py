"""A running scout-sim, and OTLP/JSON to send to it."""

import os
import secrets
import socket
import sysconfig
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from local.ports import HOST, free_port
from local.processes import Process

COMMAND = str(Path(sysconfig.get_path("scripts")) / "mqtt-trace-scout-sim")
TOKEN_PATH = "/realms/demo/protocol/openid-connect/token"  # noqa: S105 - a path, no token
START_NS = time.time_ns() // 1_000_000_000 * 1_000_000_000
FORM = {
    "grant_type": "client_credentials",
    "client_id": "scout-sim",
    "client_secret": "scout-sim-secret",
    "audience": "b14collector",
}


def environment(**settings: object) -> dict[str, str]:
    """This process's environment with only the given settings of scout-sim: `port=1` is `SCOUT_SIM_PORT=1`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SCOUT_SIM_")}
    return inherited | {f"SCOUT_SIM_{name.upper()}": str(value) for name, value in settings.items()}


class ScoutSim:
    """scout-sim as a process on a free port, for as long as the block lasts.

    Args:
        log: File for its output.
        settings: Its settings, in lower case and without prefix.
    """

    def __init__(self, log: Path, **settings: object) -> None:
        port = free_port()
        env = environment(host=HOST, port=port, **settings)
        self.url = f"http://{HOST}:{port}"
        self.process = Process("scout-sim", [COMMAND], log=log, env=env)
        self.client = httpx.Client(base_url=self.url, timeout=120, trust_env=False)

    def __enter__(self) -> Self:
        self.process.start()
        self.process.wait_until(self._is_healthy)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()
        self.process.stop()

    def send(self, request: Mapping[str, Any], signal: str = "traces") -> dict[str, Any]:
        """Send OTLP/JSON that must be accepted; returns the answer."""
        response = self.client.post(f"/demo/otlp/v1/{signal}", json=request)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def send_spans(self, *spans: Mapping[str, Any], **resource: object) -> None:
        """Send spans that must all be accepted; `service_name` is the resource's `service.name`."""
        assert self.send(traces(*spans, **resource)) == {}

    def send_half(self, path: str, body: bytes) -> socket.socket:
        """Send JSON without its end; returns the open connection."""
        head = f"POST {path} HTTP/1.1\r\nHost: scout-sim\r\nContent-Type: application/json\r\n"
        connection = socket.create_connection((HOST, int(self.url.rpartition(":")[2])))
        connection.sendall(f"{head}Content-Length: {len(body) + 1}\r\n\r\n".encode() + body)
        return connection

    def ask(self, path: str, **parameters: str | int | list[str]) -> Any:
        """Send a query that must succeed; returns its JSON."""
        response = self.client.get(path, params=parameters)
        assert response.status_code == 200, response.text
        return response.json()

    def trace_ids(self, **parameters: str | int | list[str]) -> list[str]:
        """The ids of the traces that match a filter, newest first."""
        return [trace["trace_id"] for trace in self.ask("/api/traces", **parameters)["traces"]]

    def summary(self, trace_id: str) -> dict[str, Any]:
        """The summary of a trace that must exist."""
        summaries: list[dict[str, Any]] = self.ask("/api/traces", limit=1000)["traces"]
        return next(summary for summary in summaries if summary["trace_id"] == trace_id)

    def token(self) -> str:
        """A fresh token."""
        token: str = self.client.post(TOKEN_PATH, data=FORM).json()["access_token"]
        return token

    def _is_healthy(self) -> bool:
        try:
            return self.client.get("/health").status_code == 200
        except httpx.TransportError:
            return False


def trace_id() -> str:
    """A trace id that no other test uses."""
    return secrets.token_hex(16)


def span(trace: str, name: str = "work", *, at_ms: float = 0, took_ms: float = 1, **fields: Any) -> dict[str, Any]:
    """A span as OTLP/JSON, `at_ms` after `START_NS`; its `spanId` is random unless it is given."""
    start_ns = START_NS + int(at_ms * 1e6)
    return {
        "traceId": trace,
        "spanId": secrets.token_hex(8),
        "name": name,
        "kind": 1,
        "startTimeUnixNano": str(start_ns),
        "endTimeUnixNano": str(start_ns + int(took_ms * 1e6)),
        **fields,
    }


def attributes(values: Mapping[str, object]) -> list[dict[str, Any]]:
    """Attributes as OTLP/JSON."""
    return [{"key": key, "value": _any_value(value)} for key, value in values.items()]


def resource(**values: object) -> dict[str, Any]:
    """A resource as OTLP/JSON: `service_name="a"` is the attribute `service.name`."""
    return {"attributes": attributes({name.replace("_", "."): value for name, value in values.items()})}


def traces(*spans: Mapping[str, Any], **resource_attributes: object) -> dict[str, Any]:
    """A request of one resource and one scope with these spans."""
    scope = {"scope": {"name": "tests"}, "spans": spans}
    return {"resourceSpans": [{"resource": resource(**resource_attributes), "scopeSpans": [scope]}]}


def logs(*records: Mapping[str, Any], **resource_attributes: object) -> dict[str, Any]:
    """A request of one resource and one scope with these log records."""
    return {"resourceLogs": [{"resource": resource(**resource_attributes), "scopeLogs": [{"logRecords": records}]}]}


def metrics(*sent: Mapping[str, Any], **resource_attributes: object) -> dict[str, Any]:
    """A request of one resource and one scope with these metrics."""
    return {"resourceMetrics": [{"resource": resource(**resource_attributes), "scopeMetrics": [{"metrics": sent}]}]}


def _any_value(value: object) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case str():
            return {"stringValue": value}
        case Sequence():
            return {"arrayValue": {"values": [_any_value(element) for element in value]}}
        case _:
            raise TypeError(f"no attribute value: {value!r}")
