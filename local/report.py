"""The demo's trees and tables."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from local.connected import Node, tree
from local.scout import Span

_INDENT = 4  # columns that rich draws per level of a tree
_KIND = 10  # columns with the two in front of it, as are those of the duration
_DURATION = 13


@dataclass(frozen=True)
class Figures:
    """Counts of the run so far."""

    published: int
    processed: int
    connected: int
    missing_context: int
    dead_lettered: int


@dataclass(frozen=True)
class _Columns:
    """Widths of a tree's columns; that of names includes the indent of nested spans."""

    name: int
    service: int
    has_kind: bool


def trace_tree(trace_id: str, spans: Sequence[Span], width: int) -> Tree:
    """Return the trace id with its spans below it: name, service, kind and duration in columns.

    Args:
        trace_id: Stands above them.
        spans: All of the trace.
        width: Columns that there are. Where they are too few, the kind is left out, and then the end of long names.
    """
    roots = tree(spans)
    name_width = max((_name_end(node, depth) for node, depth in _walk(roots)), default=0)
    service_width = max((len(span.service) for span in spans), default=0)
    for_names = width - _INDENT - 2 - service_width - _DURATION
    columns = _Columns(name=min(name_width, for_names), service=service_width, has_kind=name_width + _KIND <= for_names)
    drawn = Tree(Text(f"trace {trace_id}", style="bold"))
    for root in roots:
        _add(drawn, root, 0, columns)
    return drawn


def figures_table(figures: Figures) -> Table:
    """Return the counts as one row."""
    table = Table(caption="processed includes the messages that came without a usable context")
    for column in ("published", "processed", "connected", "missing context", "dead-lettered"):
        table.add_column(column, justify="right", no_wrap=True)
    counts = (
        figures.published,
        figures.processed,
        figures.connected,
        figures.missing_context,
        figures.dead_lettered,
    )
    table.add_row(*(str(count) for count in counts))
    return table


def missing_context_table(found: Sequence[tuple[str, Span]]) -> Table:
    """Return the traces that `mqtt.missing_context=true` finds, with the reason of each."""
    table = Table(title="found by mqtt.missing_context=true", title_justify="left")
    table.add_column("trace", no_wrap=True)
    table.add_column("span")  # rich narrows only this column, so the cells of the others do not wrap
    table.add_column("reason", no_wrap=True)
    for trace_id, span in found:
        name = Text(span.name, no_wrap=True, overflow="ellipsis")
        table.add_row(trace_id, name, str(span.attributes.get("mqtt.missing_context_reason", "")))
    return table


def _walk(nodes: Sequence[Node], depth: int = 0) -> list[tuple[Node, int]]:
    return [pair for node in nodes for pair in [(node, depth), *_walk(node.children, depth + 1)]]


def _name_end(node: Node, depth: int) -> int:
    return depth * _INDENT + len(node.span.name)


def _add(above: Tree, node: Node, depth: int, columns: _Columns) -> None:
    span = node.span
    line = Text(span.name, style="bold")
    line.truncate(max(columns.name - depth * _INDENT, 1), overflow="ellipsis", pad=True)
    line.append(f"  {span.service.ljust(columns.service)}", style="not bold cyan")
    kind = f"  {span.kind:<8}" if columns.has_kind else ""
    line.append(f"{kind}  {span.duration_ms:8.1f} ms", style="not bold")
    below = above.add(line)
    for child in node.children:
        _add(below, child, depth + 1, columns)
