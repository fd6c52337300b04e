"""A client of scout-sim's query API."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import httpx


@dataclass(frozen=True)
class Span:
    """The fields of a span that trees and checks need; `kind` is `PRODUCER`, `CONSUMER`, `CLIENT` or `SERVER`."""

    span_id: str
    parent_span_id: str | None
    name: str
    kind: str
    service: str
    start_ns: int = 0
    duration_ms: float = 0.0
    attributes: Mapping[str, Any] = field(default_factory=dict)


class Scout:
    """A client of the query API.

    Args:
        url: Base address, such as `http://127.0.0.1:8080`.
        transport: How to get there, if not simply by TCP.
    """

    def __init__(self, url: str, transport: httpx.BaseTransport | None = None) -> None:
        self._http = httpx.Client(base_url=url, timeout=30, trust_env=False, transport=transport)

    def trace_ids(self, **filters: str | int) -> list[str]:
        """Return the ids of traces, oldest first; the API names the filters (service, attribute, limit …)."""
        traces = self.get("/api/traces", **filters)["traces"]
        return [trace["trace_id"] for trace in sorted(traces, key=lambda trace: trace["start"])]

    def spans(self, trace_id: str) -> list[Span]:
        """Return the received spans of one trace."""
        return [span_from_json(span) for span in self.get(f"/api/traces/{trace_id}")["spans"]]

    def counter(self, name: str, service: str) -> int:
        """Return the sum of a counter over its attributes; 0 if it was never reported."""
        metrics = self.get("/api/metrics", name=name, service=service)["metrics"]
        return int(sum(metric["value"] or 0 for metric in metrics))

    def get(self, path: str, **parameters: str | int) -> Any:
        """Return the API's answer unchanged.

        Raises:
            httpx.HTTPStatusError: it refuses, or there is no such thing.
        """
        return self._http.get(path, params=parameters).raise_for_status().json()

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def span_from_json(span: Mapping[str, Any]) -> Span:
    """Return a span of the query API's answer."""
    return Span(
        span_id=span["span_id"],
        parent_span_id=span["parent_span_id"] or None,
        name=span["name"],
        kind=span["kind"],
        service=span["service"],
        start_ns=span["start_ns"],
        duration_ms=span["duration_ms"],
        attributes=span["attributes"],
    )
