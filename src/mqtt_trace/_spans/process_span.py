"""A process span, from the time it becomes the current one until it ends."""

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
    """Makes a span the current one and ends it; an exception is recorded and propagates.

    As in OpenTelemetry's own `use_span`, a `BaseException` that is no `Exception`, such as SystemExit,
    KeyboardInterrupt or asyncio's CancelledError, is not recorded as an error.

    It is a class because a generator would cost several times as much for each message.

    Args:
        span: The span.
        context: The context that becomes current with the span, for example with baggage.
        metrics: Records the duration.
        metric_attributes: The attributes of the duration.
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
        """End the span without changing the current context, for example in another task.

        Nothing is raised: an error in tracing must neither reach the program nor replace its own error.
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
        """Record an error of the processing, whether or not it propagates."""
        self._error_type = type(error).__qualname__
        with _NOT_DESCRIBED:
            self._span.set_attribute(semconv.ERROR_TYPE, self._error_type)
            self._span.set_status(StatusCode.ERROR, semconv.encodable(f"{self._error_type}: {words_of(error)}"))
            text = str(error)
            self._span.record_exception(error, None if semconv.encodable(text) == text else _encodable_texts(error))


def _encodable_texts(error: BaseException) -> semconv.Attributes:
    """Replace the texts that the SDK takes from an exception, which may quote the message."""
    return {
        "exception.message": semconv.encodable(str(error)),
        "exception.stacktrace": semconv.encodable("".join(format_exception(error))),
    }
