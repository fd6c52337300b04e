"""Why an export failed, and whether a retry can help."""

from collections.abc import Mapping
from dataclasses import dataclass
from http.client import responses

from opentelemetry.semconv.attributes.http_attributes import HTTP_RESPONSE_STATUS_CODE
from opentelemetry.util.types import AttributeValue

from mqtt_trace._errors import MqttTraceError

# Not yet stable, so the public package of the conventions has no constant for it.
RPC_RESPONSE_STATUS_CODE = "rpc.response.status_code"

STOPPED = "stopped before they could be exported"

# OTLP specification, "Failures" of OTLP/HTTP and of OTLP/gRPC: no other code may be retried.
_RETRYABLE_STATUS = {429, 502, 503, 504}
_RETRYABLE_CODES = {
    "CANCELLED",
    "DEADLINE_EXCEEDED",
    "RESOURCE_EXHAUSTED",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNAVAILABLE",
    "DATA_LOSS",
}


class ExportError(MqttTraceError):
    """An export that the backend refused: the `error.type` of the SDK's own metrics."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed export."""

    cause: str
    error: Exception
    attributes: Mapping[str, AttributeValue]
    retryable: bool

    @property
    def unsent(self) -> bool:
        """Whether it failed before the request was sent, such as an item that cannot be encoded."""
        return not (self.retryable or self.attributes)


def describe_failure(error: Exception | None, attributes: Mapping[str, AttributeValue]) -> Failure:
    """Classify what an OTLP exporter reports to its own metrics: an exception, a status code, or both."""
    status = attributes.get(HTTP_RESPONSE_STATUS_CODE)
    if isinstance(status, int):
        cause = f"HTTP {status} {responses.get(status, '')}".rstrip()
        return Failure(cause, error or ExportError(cause), attributes, retryable=status in _RETRYABLE_STATUS)
    code = attributes.get(RPC_RESPONSE_STATUS_CODE)
    if isinstance(code, str):
        details = error.details() if error is not None and hasattr(error, "details") else ""
        cause = f"{code}: {details}" if details else code
        return Failure(cause, error or ExportError(cause), attributes, retryable=code in _RETRYABLE_CODES)
    if error is None:  # the exporter was shut down while it waited for its own next retry
        return Failure(STOPPED, ExportError(STOPPED), attributes, retryable=True)
    # Network errors are OSErrors, also in requests; an invalid address is a ValueError as well.
    on_the_network = isinstance(error, OSError) and not isinstance(error, ValueError)
    return Failure(_root_cause(error), error, attributes, retryable=on_the_network)


def _root_cause(error: BaseException) -> str:
    """The innermost exception: requests and urllib3 wrap "Connection refused" three times."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return str(error) or type(error).__name__
