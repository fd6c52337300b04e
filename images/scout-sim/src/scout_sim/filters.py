"""The query parameters of the API."""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from scout_sim.records import MAX_NS

MAX_LIMIT = 100_000


def _key_value(text: str) -> str:
    key, separator, _ = text.partition("=")
    if not (separator and key):
        raise ValueError("must be key=value")
    return text


def _hexadecimal(length: int) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(rf"[0-9a-fA-F]{{{length}}}", text):
            raise ValueError(f"must be {length} hexadecimal digits")
        return text.lower()

    return AfterValidator(check)


TraceId = Annotated[str, _hexadecimal(32)]
SpanId = Annotated[str, _hexadecimal(16)]
KeyValue = Annotated[str, AfterValidator(_key_value)]
EpochSeconds = Annotated[float, Field(ge=0, lt=MAX_NS // 1_000_000_000, allow_inf_nan=False)]
Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT)]


class _Filter(BaseModel):
    """Refuses an unknown parameter: a misspelt filter would match everything."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TraceFilter(_Filter):
    """Selects traces: some span of the trace must meet each condition.

    Attributes:
        service: A service's name.
        name: A span's name.
        attribute: `key=value` pairs, each an attribute of a span or of its resource.
        missing_context: Whether a span started the trace because its message carried no usable context.
        since: Earliest start, in seconds since the epoch.
        limit: The most traces to return, newest first.
    """

    service: str | None = None
    name: str | None = None
    attribute: list[KeyValue] = []
    missing_context: bool | None = None
    since: EpochSeconds = 0
    limit: Limit = 100


class MetricFilter(_Filter):
    """Selects metrics by name and by service."""

    name: str | None = None
    service: str | None = None


class LogFilter(_Filter):
    """Selects log records; `contains` is a part of the body."""

    trace_id: TraceId | None = None
    span_id: SpanId | None = None
    service: str | None = None
    contains: str | None = None
    limit: Limit = 100


def describe_error(error: Mapping[str, Any]) -> str:
    """Describe one of pydantic's errors in one line: the parameter, and why it is wrong."""
    parameter = next((part for part in error["loc"] if part not in {"query", "path"}), "request")
    if error["type"] == "extra_forbidden":
        return f"{parameter}: there is no such parameter"
    return f"{parameter}: {error['msg'].removeprefix('Value error, ')}"
