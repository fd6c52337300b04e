"""The tree of a trace: the depth of each span, and whether all spans are connected."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class Node(Protocol):
    """A node of the tree: a span."""

    @property
    def span_id(self) -> str:
        """The span's own id."""

    @property
    def parent_span_id(self) -> str | None:
        """The id of its parent; None for a root."""


NodeT = TypeVar("NodeT", bound=Node)


@dataclass(frozen=True)
class TraceTree(Generic[NodeT]):
    """The tree of the spans of one trace.

    Attributes:
        spans: Every span with its depth, depth first, siblings in the order of the input.
        roots: Spans without a parent.
        orphans: Spans whose parent is not in the trace.
        circular: Spans that descend from none of these, but from themselves.
    """

    spans: list[tuple[NodeT, int]]
    roots: list[NodeT]
    orphans: list[NodeT]
    circular: list[NodeT]

    @property
    def connected(self) -> bool:
        """Whether every span's parent is in the trace, and exactly one span is its root."""
        return len(self.roots) == 1 and not self.orphans and not self.circular


def build_tree(spans: Sequence[NodeT]) -> TraceTree[NodeT]:
    """Build the tree of the spans of one trace."""
    known = {span.span_id for span in spans}
    children: dict[str | None, list[NodeT]] = defaultdict(list)
    for span in spans:
        children[span.parent_span_id].append(span)
    roots = children[None]
    orphans = [span for span in spans if span.parent_span_id is not None and span.parent_span_id not in known]
    placed: dict[str, tuple[NodeT, int]] = {}
    for top in (span for span in spans if span.parent_span_id is None or span.parent_span_id not in known):
        _place(top, children, placed)
    circular = [span for span in spans if span.span_id not in placed]
    for span in circular:
        _place(span, children, placed)
    return TraceTree(spans=list(placed.values()), roots=roots, orphans=orphans, circular=circular)


def _place(top: NodeT, children: Mapping[str | None, list[NodeT]], placed: dict[str, tuple[NodeT, int]]) -> None:
    waiting = [(top, 0)]
    while waiting:
        span, depth = waiting.pop()
        if span.span_id not in placed:
            placed[span.span_id] = span, depth
            waiting += [(child, depth + 1) for child in reversed(children.get(span.span_id, []))]
