"""Recognizing connected traces and gaps, and drawing traces."""

import dataclasses
import re

import pytest
from rich.console import Console

from local.connected import missing_step, tree
from local.report import Figures, figures_table, missing_context_table, trace_tree
from local.scout import Span, span_from_json

PUBLISH = Span("a1", None, "publish sensors/s/reading", "PRODUCER", "mqtt-trace-producer", 1, 4.25)
PROCESS = Span("b1", "a1", "process sensors/s/reading", "CONSUMER", "mqtt-trace-consumer", 2, 3.0)
POST = Span("c1", "b1", "POST", "CLIENT", "mqtt-trace-consumer", 3, 2.0)
ECHO = Span("d1", "c1", "POST /echo", "SERVER", "mqtt-trace-echo", 4, 1.0)
READING = [PUBLISH, PROCESS, POST, ECHO]


def drawn(*renderables: object, width: int = 140) -> str:
    """Return the output of a console without a terminal."""
    console = Console(width=width, force_terminal=False)
    with console.capture() as captured:
        for renderable in renderables:
            console.print(renderable)
    return captured.get()


def test_four_spans_in_a_line_are_connected_in_any_order() -> None:
    """Four spans in a line are a connected trace, whatever their order of arrival."""
    assert missing_step(READING) is None
    assert missing_step(READING[::-1]) is None


def test_a_retry_a_dead_letter_and_a_redelivery_stay_connected() -> None:
    """A trace with further spans below the right parents is connected."""
    retry = [dataclasses.replace(POST, span_id="c2"), dataclasses.replace(ECHO, span_id="d2", parent_span_id="c2")]
    dead_letter = Span("e1", "b1", "publish dead-letters", "PRODUCER", "mqtt-trace-consumer")
    redelivery = dataclasses.replace(PROCESS, span_id="b2")
    assert missing_step([*READING, *retry, dead_letter, redelivery]) is None


def test_a_reading_that_was_published_again_is_connected_by_either_publish() -> None:
    """A trace is connected if its process span is below either of two publish spans."""
    again = dataclasses.replace(PUBLISH, span_id="a2", parent_span_id="a1")
    below_again = dataclasses.replace(PROCESS, parent_span_id="a2")
    assert missing_step([PUBLISH, again, below_again, POST, ECHO]) is None
    assert missing_step([PUBLISH, again, PROCESS, POST, ECHO]) is None
    assert missing_step([PUBLISH, again]) == "no process span (CONSUMER) of mqtt-trace-consumer below publish"


@pytest.mark.parametrize(
    ("spans", "lacks"),
    [
        ([], "there are no spans"),
        ([PROCESS, POST, ECHO], "there is no publish span of mqtt-trace-producer"),
        ([PUBLISH], "no process span (CONSUMER) of mqtt-trace-consumer below publish"),
        ([PUBLISH, POST, ECHO], "POST of mqtt-trace-consumer has no parent in it"),
        ([PUBLISH, PROCESS], "no POST span (CLIENT) of mqtt-trace-consumer below process"),
        ([PUBLISH, PROCESS, ECHO], "POST /echo of mqtt-trace-echo has no parent in it"),
        ([PUBLISH, PROCESS, POST], "no POST /echo span (SERVER) of mqtt-trace-echo below POST"),
        (
            [PUBLISH, dataclasses.replace(PROCESS, parent_span_id="gone"), POST, ECHO],
            "process sensors/s/reading of mqtt-trace-consumer has no parent in it",
        ),
    ],
)
def test_a_gap_is_named(spans: list[Span], lacks: str) -> None:
    """The first missing step of a trace is named."""
    assert missing_step(spans) == lacks


def test_spans_nest_below_their_parents_by_start() -> None:
    """Children come in the order they started, and a span without its parent becomes a root."""
    late = dataclasses.replace(POST, span_id="c2", start_ns=9)
    stray = dataclasses.replace(ECHO, span_id="d9", parent_span_id="gone")
    roots = tree([late, stray, *READING])
    assert [root.span for root in roots] == [PUBLISH, stray]
    (process,) = roots[0].children
    assert [child.span for child in process.children] == [POST, late]


def test_the_tree_shows_name_service_kind_and_duration() -> None:
    """One line per span, indented below its parent, columns aligned, nothing wrapped, no control characters."""
    lines = drawn(trace_tree("0af7651916cd43dd8448eb211c80319c", READING, 140)).splitlines()
    assert [line.rstrip() for line in lines] == [
        "trace 0af7651916cd43dd8448eb211c80319c",
        "└── publish sensors/s/reading      mqtt-trace-producer  PRODUCER       4.2 ms",
        "    └── process sensors/s/reading  mqtt-trace-consumer  CONSUMER       3.0 ms",
        "        └── POST                   mqtt-trace-consumer  CLIENT         2.0 ms",
        "            └── POST /echo         mqtt-trace-echo      SERVER         1.0 ms",
    ]


def test_a_narrow_tree_leaves_out_the_kind_and_then_shortens_names() -> None:
    """No line is wrapped, in 80 columns and in fewer."""
    sensor = [dataclasses.replace(span, name=span.name.replace("/s/", "/sensor-001/")) for span in READING]
    assert [line.rstrip() for line in drawn(trace_tree("1" * 32, sensor, 80), width=80).splitlines()] == [
        "trace 11111111111111111111111111111111",
        "└── publish sensors/sensor-001/reading      mqtt-trace-producer       4.2 ms",
        "    └── process sensors/sensor-001/reading  mqtt-trace-consumer       3.0 ms",
        "        └── POST                            mqtt-trace-consumer       2.0 ms",
        "            └── POST /echo                  mqtt-trace-echo           1.0 ms",
    ]
    assert [line.rstrip() for line in drawn(trace_tree("1" * 32, sensor, 72), width=72).splitlines()] == [
        "trace 11111111111111111111111111111111",
        "└── publish sensors/sensor-001/reading  mqtt-trace-producer       4.2 ms",
        "    └── process sensors/sensor-001/re…  mqtt-trace-consumer       3.0 ms",
        "        └── POST                        mqtt-trace-consumer       2.0 ms",
        "            └── POST /echo              mqtt-trace-echo           1.0 ms",
    ]


@pytest.mark.parametrize("columns", [80, 72])
def test_a_narrow_table_shortens_span_names_alone(columns: int) -> None:
    """Trace ids and reasons can be copied."""
    orphan = dataclasses.replace(
        PROCESS, name="process sensors/legacy-001/reading", attributes={"mqtt.missing_context_reason": "malformed"}
    )
    output = drawn(missing_context_table([("1" * 32, orphan)]), width=columns)
    assert all(len(line) <= columns for line in output.splitlines())
    assert re.search(r"│ 1{32} │ process sensors/\S+… │ malformed │\n", output)


def test_the_tables_show_every_figure_and_every_orphan() -> None:
    """All counts are in one row; an orphan comes with trace id, span name and reason."""
    orphan = dataclasses.replace(PROCESS, parent_span_id=None, attributes={"mqtt.missing_context_reason": "malformed"})
    figures = Figures(published=11, processed=13, connected=12, missing_context=2, dead_lettered=0)
    output = drawn(figures_table(figures), missing_context_table([("0af7651916cd43dd8448eb211c80319c", orphan)]))
    assert "│        11 │        13 │        12 │               2 │             0 │" in output
    assert "│ 0af7651916cd43dd8448eb211c80319c │ process sensors/s/reading │ malformed │" in output
    assert "\x1b" not in output


def test_a_span_is_read_from_the_query_api() -> None:
    """A span of the query API with an empty parent id has no parent."""
    answer = {
        "span_id": "a1",
        "parent_span_id": "",
        "name": "publish sensors/s/reading",
        "kind": "PRODUCER",
        "service": "mqtt-trace-producer",
        "start_ns": 1,
        "duration_ms": 4.25,
        "attributes": {},
        "links": [],
    }
    assert span_from_json(answer) == PUBLISH
