"""The waterfall: rows, bars and ticks."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scout_sim.queries import Span, SpanStatus
from scout_sim.trace_tree import build_tree
from scout_sim.waterfall import MAX_DEPTH, MAX_ROWS, duration, lay_out, ticks

MS = 1_000_000


@dataclass(frozen=True)
class Node:
    """A span with its ids alone."""

    span_id: str
    parent_span_id: str | None


def span(span_id: str, parent: str | None = None, *, start_ms: float = 0, end_ms: float = 10) -> Span:
    """Make a span of the service `s`."""
    return Span(
        trace_id="ab" * 16,
        span_id=span_id,
        parent_span_id=parent,
        name=span_id,
        kind="INTERNAL",
        service="s",
        start_ns=int(start_ms * MS),
        end_ns=int(end_ms * MS),
        duration_ms=end_ms - start_ms,
        status=SpanStatus(code="UNSET", message=""),
        attributes={},
        resource={},
        links=[],
        events=[],
        scope="",
    )


IDS = st.sampled_from("abcdefgh")


@given(st.dictionaries(IDS, st.none() | IDS))
def test_every_span_is_placed_once_below_its_parent(parents: dict[str, str | None]) -> None:
    """Each span is placed once, one level below its parent if that is placed before it, for any parents."""
    nodes = [Node(own, parent) for own, parent in parents.items()]
    tree = build_tree(nodes)
    assert sorted(node.span_id for node, _ in tree.spans) == sorted(parents)
    depths: dict[str, int] = {}
    for node, depth in tree.spans:
        assert depth == (depths[node.parent_span_id] + 1 if node.parent_span_id in depths else 0)
        depths[node.span_id] = depth
    tops = [node for node, depth in tree.spans if depth == 0]
    assert tree.connected == (len(tops) == 1 and tops[0].parent_span_id is None)


def test_a_long_chain_is_laid_out() -> None:
    """Nesting of any depth is laid out, with a limit for the indentation and one for the rows."""
    spans = [span("0")] + [span(str(number), str(number - 1)) for number in range(1, 5000)]
    waterfall = lay_out(spans, {})
    assert [row.depth for row in waterfall.rows[:3]] == [0, 1, 2]
    assert waterfall.rows[-1].depth == MAX_DEPTH
    assert (len(waterfall.rows), waterfall.span_count) == (MAX_ROWS, 5000)


def test_bars_lie_in_time() -> None:
    """A bar is placed in percent of the trace, and its label where there is room for it."""
    whole, early, late = lay_out([span("a"), span("b", "a", end_ms=5), span("c", "a", start_ms=5)], {"s": 3}).rows
    assert (whole.bar.x, whole.bar.width, whole.bar.place) == (0, 100, "inside")
    assert (early.bar.x, early.bar.end, early.bar.place) == (0, 50, "right")
    assert (late.bar.x, late.bar.end, late.bar.place) == (50, 100, "left")
    assert (whole.colour, whole.bar.label) == (3, "10 ms")


def test_impossible_times_are_drawn_too() -> None:
    """A span without length, one that ends before it starts, and a trace of no length stay within the axis."""
    for spans in (
        [span("a", end_ms=0)],
        [span("a"), span("b", "a", start_ms=10), span("c", "a", start_ms=8, end_ms=2)],
    ):
        for row in lay_out(spans, {}).rows:
            assert 0 <= row.bar.x < row.bar.end <= 100


@given(st.integers(min_value=0, max_value=2**63))
def test_the_axis_has_few_round_marks(length_ns: int) -> None:
    """An axis of any length starts at 0 and has at most seven ticks."""
    marks = ticks(length_ns)
    assert marks[0].label == "0"
    assert 1 <= len(marks) <= 7
    assert all(0 <= mark.x <= 100.001 for mark in marks)
    assert len({mark.label for mark in marks}) == len(marks)


@pytest.mark.parametrize(
    ("length_ns", "text"),
    [
        (0, "0 ns"),
        (999, "999 ns"),
        (1_500, "1.5 µs"),
        (12_345_678, "12.3 ms"),
        (999_960_000, "1,000 ms"),
        (1_000_000_000, "1 s"),
        (3_600_000_000_000, "3,600 s"),
        (-2_000_000, "-2 ms"),
    ],
)
def test_durations_read_well(length_ns: int, text: str) -> None:
    """A duration has three significant digits and a unit."""
    assert duration(length_ns) == text
