"""The output of OpenTelemetry's console exporters, for the packaging tests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

_SECOND_NS = 1_000_000_000


@dataclass(frozen=True)
class Printed:
    """The spans and metrics of one of `programs/`, and the time when it had sent its messages."""

    spans: list[dict[str, Any]]
    metrics: dict[str, list[dict[str, Any]]]
    """The data points of the library's metrics, by name."""
    handed_off: int
    """Nanoseconds since the epoch."""

    @classmethod
    def parse(cls, output: str) -> Self:
        """Read the JSON values that follow each other on standard output."""
        values = list(_values(output))
        scopes = [
            scope
            for value in values
            for resource in value.get("resource_metrics", [])
            for scope in resource["scope_metrics"]
            if scope["scope"]["name"] == "mqtt_trace"
        ]
        metrics = {metric["name"]: metric["data"]["data_points"] for scope in scopes for metric in scope["metrics"]}
        (handed_off,) = (value["handed_off"] for value in values if "handed_off" in value)
        spans = sorted((value for value in values if "start_time" in value), key=lambda span: span["start_time"])
        return cls(spans, metrics, handed_off)

    def named(self, operation: str) -> list[dict[str, Any]]:
        """The spans of an operation, by start."""
        return [span for span in self.spans if span["name"].split()[0] == operation]

    def ended_after_hand_off(self, span: dict[str, Any]) -> bool:
        """Whether a span was still open when the program had sent all messages and read none."""
        end = datetime.strptime(span["end_time"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
        return end >= datetime.fromtimestamp(self.handed_off / _SECOND_NS, UTC)


def _values(output: str) -> Iterator[dict[str, Any]]:
    decoder, position = json.JSONDecoder(), 0
    while position < len(output):
        value, position = decoder.raw_decode(output, position)
        yield value
        position += len(output[position:]) - len(output[position:].lstrip())
