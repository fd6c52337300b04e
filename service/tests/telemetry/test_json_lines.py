"""Log lines as JSON, and what a line that cannot be formatted does over OTLP."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from mqtt_trace_service.telemetry._logging import JsonFormatter, OtlpHandler
from opentelemetry import trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.trace import TracerProvider


@pytest.fixture
def logged() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    """A logger and its output."""
    output = io.StringIO()
    handler = logging.StreamHandler(output)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("test_json_lines")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    yield logger, output
    logger.handlers = []


def test_a_line_carries_time_level_logger_message_and_extras(logged: tuple[logging.Logger, io.StringIO]) -> None:
    """A line is one JSON object, without ids if there is no span."""
    logger, output = logged
    logger.info("received %d\nbytes", 7, extra={"topic": "a/b", "sizes": [1, 2], "level": "not this one"})
    assert output.getvalue().count("\n") == 1
    line = json.loads(output.getvalue())
    written = datetime.fromisoformat(line.pop("timestamp"))
    assert written.tzinfo == UTC
    assert line == {
        "level": "INFO",
        "logger": "test_json_lines",
        "message": "received 7\nbytes",
        "topic": "a/b",
        "sizes": [1, 2],
    }


def test_a_line_carries_the_ids_of_the_current_span(logged: tuple[logging.Logger, io.StringIO]) -> None:
    """A line has the ids of the current span in W3C's format."""
    logger, output = logged
    span = TracerProvider(shutdown_on_exit=False).get_tracer("test").start_span("span")
    with trace.use_span(span):
        logger.warning("in")
    line = json.loads(output.getvalue())
    context = span.get_span_context()
    assert line["trace_id"] == f"{context.trace_id:032x}"
    assert line["span_id"] == f"{context.span_id:016x}"


def test_a_line_carries_the_traceback_of_an_exception(logged: tuple[logging.Logger, io.StringIO]) -> None:
    """All of it in one line."""
    logger, output = logged
    try:
        int("x")
    except ValueError:
        logger.exception("failed")
    line = json.loads(output.getvalue())
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("invalid literal for int() with base 10: 'x'")


def test_what_json_does_not_know_is_written_as_text(logged: tuple[logging.Logger, io.StringIO]) -> None:
    """A value that JSON does not support is written as text."""
    logger, output = logged
    logger.info("hello", extra={"path": object})
    assert json.loads(output.getvalue())["path"] == "<class 'object'>"


_LOOP: list[object] = []
_LOOP.append(_LOOP)


class _Mute:
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (float("nan"), "nan"),
        ([float("-inf")], "[-inf]"),
        ({(1, 2): 3}, "{(1, 2): 3}"),
        (_LOOP, "[[...]]"),
        ("\ud800", "\ud800"),
    ],
)
def test_what_json_cannot_hold_costs_neither_the_line_nor_its_form(
    logged: tuple[logging.Logger, io.StringIO], value: object, written: str
) -> None:
    """NaN, keys that are not text and recursive lists are written as text, and other extras keep their type."""
    logger, output = logged
    logger.info("hello", extra={"value": value, "other": [1.5]})
    line = json.loads(output.getvalue(), parse_constant=pytest.fail)
    assert (line["message"], line["value"], line["other"]) == ("hello", written, [1.5])


def test_what_has_no_text_is_named(logged: tuple[logging.Logger, io.StringIO]) -> None:
    """An extra whose `str` raises is written as its default `repr`, and the line is not lost."""
    logger, output = logged
    logger.info("hello", extra={"mute": _Mute()})
    assert "_Mute object" in json.loads(output.getvalue())["mute"]


def test_a_line_carries_the_stack_that_is_asked_for(logged: tuple[logging.Logger, io.StringIO]) -> None:
    """All of it in one line."""
    logger, output = logged
    logger.info("here", stack_info=True)
    assert 'logger.info("here", stack_info=True)' in json.loads(output.getvalue())["stack_info"]


def test_a_line_that_cannot_be_formatted_does_not_reach_the_program(
    logged: tuple[logging.Logger, io.StringIO], capsys: pytest.CaptureFixture[str]
) -> None:
    """A record that cannot be formatted is reported by the handler and does not raise in the program."""
    logger, _ = logged
    logger.handlers = [OtlpHandler(LoggerProvider(shutdown_on_exit=False))]
    logger.warning("%d readings", "x")
    assert "TypeError: %d format" in capsys.readouterr().err
