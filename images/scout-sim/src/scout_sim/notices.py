"""Notices on the page of a trace: why it is not connected or has no context."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scout_sim.queries import Span
from scout_sim.records import MISSING_CONTEXT
from scout_sim.waterfall import build_span_tree

MISSING_CONTEXT_REASON = "mqtt.missing_context_reason"

_REASONS = {
    "absent": "the message carried no traceparent. Its publisher injects no trace context or uses MQTT 3.1.1.",
    "malformed": "the traceparent of the message is not valid W3C Trace Context.",
    "duplicate": "the message carried more than one traceparent, and W3C Trace Context accepts none of them.",
    "mqtt311": "the consumer itself uses MQTT 3.1.1, which has no user properties for a context.",
}
_MAX_NAMED = 3


@dataclass(frozen=True)
class Notice:
    """A problem of a trace; `kind` is `disconnected` or `missing-context`."""

    kind: str
    title: str
    text: str


def find_notices(spans: Sequence[Span]) -> list[Notice]:
    """Find out why a trace is not connected, and why it lacks the context of its message."""
    why = " ".join(_disconnected(spans))
    found = [Notice("disconnected", "Not connected", why)] if why else []
    for span in spans:
        if span["attributes"].get(MISSING_CONTEXT) is True and len(found) <= _MAX_NAMED:
            reason = str(span["attributes"].get(MISSING_CONTEXT_REASON, "unknown"))
            explained = _REASONS.get(reason, "the message carried no usable trace context.")
            text = f"{span['name']} started a new trace: {explained}"
            found.append(Notice("missing-context", f"Missing context: {reason}", text))
    return found


def _disconnected(spans: Sequence[Span]) -> Iterator[str]:
    tree = build_span_tree(spans)
    if len(tree.roots) > 1:
        yield f"{len(tree.roots)} spans are roots: {_named([node.span['name'] for node in tree.roots])}."
    if not tree.roots and not tree.orphans:
        yield "No span is a root."
    if tree.orphans:
        parents = _named([str(node.parent_span_id) for node in tree.orphans])
        count = len(tree.orphans)
        yield (
            f"{count} {'span has' if count == 1 else 'spans have'} a parent that is missing ({parents}): "
            "it was not sampled, was not exported, or has not arrived yet."
        )
    if tree.circular:
        yield f"{len(tree.circular)} spans are their own ancestors."


def _named(names: list[str]) -> str:
    distinct = list(dict.fromkeys(names))
    return ", ".join(distinct[:_MAX_NAMED]) + (", …" if len(distinct) > _MAX_NAMED else "")
