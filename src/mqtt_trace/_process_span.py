"""A process span while it is the current one."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from contextvars import Token
from types import TracebackType

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, StatusCode

from mqtt_trace import attributes as names
from mqtt_trace.metrics import ProcessMetrics


class ProcessSpan(AbstractContextManager[Span, None]):
    """Makes a span the current one and ends it; an exception is recorded and goes on.

    A class, as a generator would cost each message several times as much.

    Args:
        span: The span.
        context: What is current beside the span, such as baggage.
        metrics: Where the duration goes.
        metric_attributes: What the duration is split by.
    """

    __slots__ = ("_context", "_error_type", "_metric_attributes", "_metrics", "_span", "_started", "_token")

    def __init__(
        self, span: Span, context: Context, metrics: ProcessMetrics, metric_attributes: names.Attributes
    ) -> None:
        self._span = span
        self._context = context
        self._metrics = metrics
        self._metric_attributes = metric_attributes
        self._error_type: str | None = None

    def __enter__(self) -> Span:
        self._started = time.monotonic()
        self._token: Token[Context] = otel_context.attach(trace.set_span_in_context(self._span, self._context))
        return self._span

    def __exit__(
        self, exc_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        del exc_type, traceback
        if error is not None:
            self.fail(error)
        otel_context.detach(self._token)
        attributes = self._metric_attributes
        if self._error_type is not None:
            attributes = {**attributes, names.ERROR_TYPE: self._error_type}
        self._metrics.duration.record(time.monotonic() - self._started, attributes)
        self._span.end()

    def fail(self, error: BaseException) -> None:
        """Record an error that processing met, whether or not it goes on from there."""
        self._error_type = type(error).__qualname__
        self._span.record_exception(error)
        self._span.set_attribute(names.ERROR_TYPE, self._error_type)
        self._span.set_status(StatusCode.ERROR, f"{self._error_type}: {error}")
