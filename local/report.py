"""What the demo prints: trees and tables."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from local.connected import Node, tree
from local.scout import Span

_INDENT = 4  # columns that rich draws per level of a tree


@dataclass(frozen=True)
class Figures:
    """Counts of the run so far."""

    published: int
    processed: int
    connected: int
    missing_context: int
    dead_lettered: int


def trace_tree(trace_id: str, spans: Sequence[Span]) -> Tree:
    """Return the trace id with its spans below it: name, service, kind and duration in columns."""
    roots = tree(spans)
    name_width = max((_name_end(node, depth) for node, depth in _walk(roots)), default=0)
    service_width = max((len(span.service) for span in spans), default=0)
    drawn = Tree(Text(f"trace {trace_id}", style="bold"))
    for root in roots:
        _add(drawn, root, 0, name_width, service_width)
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
    for column in ("trace", "span", "reason"):
        table.add_column(column, no_wrap=True)
    for trace_id, span in found:
        table.add_row(trace_id, span.name, str(span.attributes.get("mqtt.missing_context_reason", "")))
    return table


def _walk(nodes: Sequence[Node], depth: int = 0) -> list[tuple[Node, int]]:
    return [pair for node in nodes for pair in [(node, depth), *_walk(node.children, depth + 1)]]


def _name_end(node: Node, depth: int) -> int:
    return depth * _INDENT + len(node.span.name)


def _add(above: Tree, node: Node, depth: int, name_width: int, service_width: int) -> None:
    span = node.span
    line = Text(span.name.ljust(name_width - depth * _INDENT), style="bold")
    line.append(f"  {span.service.ljust(service_width)}", style="not bold cyan")
    line.append(f"  {span.kind:<8}  {span.duration_ms:8.1f} ms", style="not bold")
    below = above.add(line)
    for child in node.children:
        _add(below, child, depth + 1, name_width, service_width)
