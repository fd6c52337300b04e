"""One process span, from when it becomes the current one until it ends."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from contextvars import Token
from traceback import format_exception
from types import TracebackType

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, StatusCode

from mqtt_trace._guard import Guard, words_of
from mqtt_trace._spans import semconv
from mqtt_trace._spans.metrics import ProcessMetrics

_NOT_CURRENT = Guard("a process span is not the current one")
_NOT_DESCRIBED = Guard("a process span does not say how processing ended")
_NOT_MEASURED = Guard("the duration of processing is not measured")
_NOT_ENDED = Guard("a process span did not end")


class ProcessSpan(AbstractContextManager[Span, None]):
    """Makes a span the current one and ends it; an exception is recorded and goes on.

    What ends the block but is no `Exception`, such as SystemExit, KeyboardInterrupt or asyncio's CancelledError, is no
    error of the processing, and none of the span: as OpenTelemetry's own `use_span` has it.

    A class, as a generator would cost each message several times as much.

    Args:
        span: The span.
        context: What is current together with the span, such as baggage.
        metrics: Where the duration goes.
        metric_attributes: What the duration is split by.
    """

    __slots__ = ("_context", "_error_type", "_metric_attributes", "_metrics", "_span", "_started", "_token")

    def __init__(
        self, span: Span, context: Context, metrics: ProcessMetrics, metric_attributes: semconv.Attributes
    ) -> None:
        self._span = span
        self._context = context
        self._metrics = metrics
        self._metric_attributes = metric_attributes
        self._error_type: str | None = None
        self._token: Token[Context] | None = None

    def __enter__(self) -> Span:
        self._started = time.monotonic()
        with _NOT_CURRENT:
            self._token = otel_context.attach(trace.set_span_in_context(self._span, self._context))
        return self._span

    def __exit__(
        self, exc_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        del exc_type, traceback
        with _NOT_CURRENT:
            if self._token is not None:
                otel_context.detach(self._token)
        self.end(error)

    def end(self, error: BaseException | None = None) -> None:
        """End the span without a change to what is current, as where another task is running.

        Nothing is raised: an error in tracing must not reach the program, nor take the place of its own.
        """
        if isinstance(error, Exception):
            self.fail(error)
        with _NOT_MEASURED:
            attributes = self._metric_attributes
            if self._error_type is not None:
                attributes = {**attributes, semconv.ERROR_TYPE: self._error_type}
            self._metrics.duration.record(time.monotonic() - self._started, attributes)
        with _NOT_ENDED:
            self._span.end()

    def fail(self, error: Exception) -> None:
        """Record an error that processing met, whether or not it goes on from there."""
        self._error_type = type(error).__qualname__
        with _NOT_DESCRIBED:
            self._span.set_attribute(semconv.ERROR_TYPE, self._error_type)
            self._span.set_status(StatusCode.ERROR, semconv.encodable(f"{self._error_type}: {words_of(error)}"))
            text = str(error)
            self._span.record_exception(error, None if semconv.encodable(text) == text else _encodable_texts(error))


def _encodable_texts(error: BaseException) -> semconv.Attributes:
    """In the place of those that the SDK takes from an exception, which may speak of what a message holds."""
    return {
        "exception.message": semconv.encodable(str(error)),
        "exception.stacktrace": semconv.encodable("".join(format_exception(error))),
    }
