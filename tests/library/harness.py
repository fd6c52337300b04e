"""Classes and types of the fixtures for the library's tests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.util.types import AnyValue
from paho.mqtt.client import Client, MQTTMessage

from local.mosquitto import Mosquitto
from local.waiting import DEADLINE_S

MakeBroker = Callable[..., Mosquitto]
Connect = Callable[..., Client]
Instrument = Callable[..., None]


class EndedSpan(ReadableSpan):
    """A recorded span, which always has attributes; OpenTelemetry's type leaves that open."""

    @property
    def attributes(self) -> Mapping[str, AnyValue]:
        """The attributes, which may be empty."""
        return super().attributes or {}


def parent_id(span: ReadableSpan) -> int | None:
    """The id of the parent, None without one."""
    return span.parent and span.parent.span_id


@dataclass
class Recorded:
    """Providers and their recorded telemetry."""

    tracer_provider: TracerProvider
    meter_provider: MeterProvider
    exporter: InMemorySpanExporter
    reader: InMemoryMetricReader

    @property
    def spans(self) -> Sequence[EndedSpan]:
        """Ended spans, oldest first."""
        return cast("Sequence[EndedSpan]", self.exporter.get_finished_spans())

    def points(self, name: str) -> list[Any]:
        """The data points of a metric."""
        data = self.reader.get_metrics_data()
        metrics = [m for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics] if data else []
        return [point for metric in metrics if metric.name == name for point in metric.data.data_points]


class Inbox:
    """The messages that a client receives, with a way to wait for them."""

    def __init__(self, client: Client, topic_filter: str, qos: int = 1) -> None:
        self._messages: list[MQTTMessage] = []
        self._changed = threading.Condition()
        subscribed = threading.Event()
        client.on_subscribe = lambda *_: subscribed.set()
        client.on_message = self._on_message
        client.subscribe(topic_filter, qos)
        assert subscribed.wait(DEADLINE_S), "no SUBACK"

    def wait(self, count: int = 1) -> list[MQTTMessage]:
        """Return the messages as soon as there are that many."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._messages) >= count, DEADLINE_S), (
                f"{len(self._messages)} of {count} messages arrived"
            )
            return list(self._messages)

    def _on_message(self, _client: Client, _userdata: Any, message: MQTTMessage) -> None:
        with self._changed:
            self._messages.append(message)
            self._changed.notify_all()
