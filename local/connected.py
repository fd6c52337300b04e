"""Whether the spans of a trace connect, and how they nest."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from local.scout import Span

# The spans of a reading's connected trace; each is the parent of the next.
STEPS = (
    ("publish", "PRODUCER", "mqtt-trace-producer"),
    ("process", "CONSUMER", "mqtt-trace-consumer"),
    ("POST", "CLIENT", "mqtt-trace-consumer"),
    ("POST /echo", "SERVER", "mqtt-trace-echo"),
)


@dataclass(frozen=True)
class Node:
    """A span with the spans below it, the earliest first."""

    span: Span
    children: tuple["Node", ...]


def tree(spans: Sequence[Span]) -> list[Node]:
    """Nest spans; a span without its parent becomes a root."""
    ids = {span.span_id for span in spans}
    roots = [span for span in spans if span.parent_span_id not in ids]
    return _nodes(roots, spans)


def missing_step(spans: Sequence[Span]) -> str | None:
    """Return why a trace is not the connected trace of a reading; None if it is.

    More spans than the four are fine: a retry adds a pair, a dead letter a publish span, and a reading without a
    subscriber is published again below its first publish.
    """
    roots = tree(spans)
    if not roots:
        return "there are no spans"
    if not any(_has_kind_and_service(node.span, 0) for node in roots):
        return "there is no publish span of mqtt-trace-producer"
    strays = [node.span for node in roots if not _has_kind_and_service(node.span, 0)]
    if strays:
        return f"{strays[0].name} of {strays[0].service} has no parent in it"
    level = roots + [child for root in roots for child in root.children if _has_kind_and_service(child.span, 0)]
    for step in range(1, len(STEPS)):
        level = [child for node in level for child in node.children if _has_kind_and_service(child.span, step)]
        if not level:
            name, kind, service = STEPS[step]
            return f"no {name} span ({kind}) of {service} below {STEPS[step - 1][0]}"
    return None


def _nodes(level: Iterable[Span], spans: Sequence[Span]) -> list[Node]:
    return [
        Node(span, tuple(_nodes((child for child in spans if child.parent_span_id == span.span_id), spans)))
        for span in sorted(level, key=lambda span: span.start_ns)
    ]


def _has_kind_and_service(span: Span, step: int) -> bool:
    return (span.kind, span.service) == STEPS[step][1:]
