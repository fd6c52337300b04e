"""The query parameters that the API and the list page understand."""

import math
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from scout_sim.records import MAX_NS

MAX_LIMIT = 100_000

_SECONDS_OF = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_NS = 1_000_000_000


def _blank_is_absent(value: object) -> object:
    """A form sends its empty fields, too."""
    return None if value == "" else value


def _without_blanks(values: list[str]) -> list[str]:
    return [value for value in values if value]


def _key_value(text: str) -> str:
    key, separator, _ = text.partition("=")
    if text and not (separator and key):
        raise ValueError("must be key=value")
    return text


def _hexadecimal(length: int) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(rf"[0-9a-fA-F]{{{length}}}", text):
            raise ValueError(f"must be {length} hexadecimal digits")
        return text.lower()

    return AfterValidator(check)


def _since(text: object) -> object:
    """Nanoseconds since the epoch, of the ways to write a time that `TraceFilter` lists."""
    if text == "":
        return 0
    if not isinstance(text, str):
        return text
    if age := re.fullmatch(r"(\d{1,9})([smhd])", text):
        return max(0, time.time_ns() - int(age[1]) * _SECONDS_OF[age[2]] * _NS)
    try:
        seconds = float(text)
    except ValueError:
        seconds = _iso_seconds(text)
    if not (math.isfinite(seconds) and 0 <= seconds * _NS <= MAX_NS):
        raise ValueError("is out of range")
    return int(seconds * _NS)


def _iso_seconds(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))  # an unescaped + of a query string arrives as a space
    except ValueError:
        raise ValueError("must be epoch seconds, an ISO 8601 time or an age such as 15m") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


Text = Annotated[str | None, BeforeValidator(_blank_is_absent)]
TraceId = Annotated[Annotated[str, _hexadecimal(32)] | None, BeforeValidator(_blank_is_absent)]
SpanId = Annotated[Annotated[str, _hexadecimal(16)] | None, BeforeValidator(_blank_is_absent)]
Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT)]


class _Filter(BaseModel):
    """A parameter that is not known is refused: a misspelt filter would answer with everything."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TraceFilter(_Filter):
    """Which traces: each condition must be met by some span of the trace.

    Attributes:
        service: a service's name.
        name: a span's name.
        attribute: `key=value`, each to be found among a span's attributes or those of its resource.
        missing_context: whether a span started a trace because its message carried no usable context.
        since: earliest start: epoch seconds, ISO 8601 (UTC unless it says otherwise), or an age such as `15m`.
        limit: how many, newest first.
    """

    service: Text = None
    name: Text = None
    attribute: Annotated[list[Annotated[str, AfterValidator(_key_value)]], AfterValidator(_without_blanks)] = []
    missing_context: Annotated[bool | None, BeforeValidator(_blank_is_absent)] = None
    since: Annotated[int, BeforeValidator(_since)] = 0
    limit: Limit = 100


class MetricFilter(_Filter):
    """Which metrics: by name and by service."""

    name: Text = None
    service: Text = None


class LogFilter(_Filter):
    """Which log records: `contains` is part of the body, `severity` a short name such as `ERROR`, in any case."""

    trace_id: TraceId = None
    span_id: SpanId = None
    service: Text = None
    contains: Text = None
    severity: Text = None
    limit: Limit = 100


def describe_error(problem: Mapping[str, Any]) -> str:
    """One line about the first of pydantic's problems: the parameter, and what is wrong with it."""
    parameter = next((part for part in problem["loc"] if part not in {"query", "path"}), "request")
    if problem["type"] == "extra_forbidden":
        return f"{parameter}: there is no such parameter"
    return f"{parameter}: {problem['msg'].removeprefix('Value error, ')}"
