"""The waterfall of a trace: spans nested, bars in time, a colour for each service."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scout_sim.queries import Span
from scout_sim.trace_tree import TraceTree, build_tree

COLOURS = 8
"""Colours of the style sheet; further services share them."""

MAX_DEPTH = 12
"""The deepest indentation."""

MAX_ROWS = 1000
"""The most spans that a page shows."""

_TICKS = 6
_MIN_WIDTH = 0.35
_LABEL_ROOM = 12.0
_UNITS = ((1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs"))


@dataclass(frozen=True)
class Tick:
    """A tick of the time axis; `x` is in percent of its width."""

    x: float
    label: str


@dataclass(frozen=True)
class Bar:
    """The bar of a span, in percent of the axis; `place` of the label is `right`, `left` or `inside`."""

    x: float
    width: float
    label: str
    place: str

    @property
    def end(self) -> float:
        """The end of the bar."""
        return self.x + self.width


@dataclass(frozen=True)
class Row:
    """The row of a span."""

    span: Span
    depth: int
    colour: int
    bar: Bar


@dataclass(frozen=True)
class Waterfall:
    """The waterfall of a trace.

    Attributes:
        rows: The first `MAX_ROWS` spans, parents before their children.
        ticks: The ticks of the time axis, from the start of the trace.
        colours: The colour of each service, in order of appearance.
        span_count: Number of spans of the trace.
        duration: Duration of the trace, with its unit.
    """

    rows: list[Row]
    ticks: list[Tick]
    colours: dict[str, int]
    span_count: int
    duration: str


@dataclass(frozen=True)
class SpanNode:
    """A span as a node of the tree."""

    span: Span

    @property
    def span_id(self) -> str:
        """The span's own id."""
        return self.span["span_id"]

    @property
    def parent_span_id(self) -> str | None:
        """The id of its parent; None for a root."""
        return self.span["parent_span_id"]


def build_span_tree(spans: Sequence[Span]) -> TraceTree[SpanNode]:
    """Build the tree of the spans of a trace."""
    return build_tree([SpanNode(span) for span in spans])


def assign_colours(services: Sequence[str]) -> dict[str, int]:
    """Assign a colour to each service, the same on all pages."""
    return {service: number % COLOURS for number, service in enumerate(services)}


def lay_out(spans: Sequence[Span], colours: Mapping[str, int]) -> Waterfall:
    """Lay out a trace of at least one span."""
    placed = build_span_tree(spans).spans
    start_ns = min(span["start_ns"] for span in spans)
    length_ns = max(0, max(span["end_ns"] for span in spans) - start_ns)
    rows = [
        Row(
            span=node.span,
            depth=min(depth, MAX_DEPTH),
            colour=colours.get(node.span["service"], 0),
            bar=_bar(node.span, start_ns, length_ns),
        )
        for node, depth in placed[:MAX_ROWS]
    ]
    return Waterfall(
        rows=rows,
        ticks=ticks(length_ns),
        colours={row.span["service"]: row.colour for row in rows},
        span_count=len(spans),
        duration=duration(length_ns),
    )


def ticks(length_ns: int) -> list[Tick]:
    """At most seven ticks, at round times."""
    if length_ns <= 0:
        return [Tick(0, "0")]
    rough = length_ns / _TICKS
    magnitude = 10 ** math.floor(math.log10(rough))
    step = next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= rough)
    return [
        Tick(x=round(100 * number * step / length_ns, 3), label=_axis_label(number * step))
        for number in range(math.floor(length_ns / step) + 1)
    ]


def duration(length_ns: float) -> str:
    """A duration with three significant digits and its unit."""
    for size, unit in _UNITS:
        if abs(length_ns) >= size:
            value = length_ns / size
            return f"{value:,.0f} {unit}" if abs(value) >= 100 else f"{value:.3g} {unit}"  # noqa: PLR2004 - three digits
    return f"{length_ns:.0f} ns"


def _bar(span: Span, start_ns: int, length_ns: int) -> Bar:
    took_ns = max(0, span["end_ns"] - span["start_ns"])
    x = 100 * (span["start_ns"] - start_ns) / length_ns if length_ns else 0.0
    width = max(_MIN_WIDTH, 100 * took_ns / length_ns if length_ns else 100.0)
    x = min(x, 100 - _MIN_WIDTH)
    place = "right" if x + width <= 100 - _LABEL_ROOM else "left" if x >= _LABEL_ROOM else "inside"
    return Bar(x=round(x, 3), width=round(width, 3), label=duration(took_ns), place=place)


def _axis_label(at_ns: float) -> str:
    if not at_ns:
        return "0"
    size, unit = next(((size, unit) for size, unit in _UNITS if at_ns >= size), (1, "ns"))
    return f"{at_ns / size:g} {unit}"
