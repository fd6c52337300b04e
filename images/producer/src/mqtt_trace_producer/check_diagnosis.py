"""Finds the cause of a failed step in the environment and in the trace."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any


class NextStep(Enum):
    """The user's next step after a failed one; the value is the name of the setting that has its text."""

    BROKER = "next_broker"
    CONSUMER = "next_consumer"
    ECHO = "next_echo"
    COLLECTOR = "next_collector"
    SECRET = "next_secret"  # noqa: S105 - the name of a setting


@dataclass(frozen=True, slots=True)
class ExpectedSpan:
    """One of the four spans of a reading.

    Attributes:
        name: Name of the span.
        kind: Kind of the span.
        next_step: The next step when it is missing.
        topic: Topic of its message; None for an HTTP span.
    """

    name: str
    kind: str
    next_step: NextStep
    topic: str | None = None

    def matches(self, span: Mapping[str, Any]) -> bool:
        """Whether it is this span; a message's may be named by a template of its topic, as its service is set up."""
        if self.topic is None:
            return (span["name"], span["kind"]) == (self.name, self.kind)
        return (span["attributes"].get("messaging.destination.name"), span["kind"]) == (self.topic, self.kind)


def expected_spans(topic: str) -> list[ExpectedSpan]:
    """Return the four spans of a reading, each the parent of the next."""
    return [
        ExpectedSpan(f"publish {topic}", "PRODUCER", NextStep.COLLECTOR, topic),
        ExpectedSpan(f"process {topic}", "CONSUMER", NextStep.CONSUMER, topic),
        ExpectedSpan("POST", "CLIENT", NextStep.CONSUMER),
        ExpectedSpan("POST /echo", "SERVER", NextStep.ECHO),
    ]


def find_missing_span(spans: Sequence[Mapping[str, Any]], topic: str) -> ExpectedSpan | None:
    """Return the first of the four spans that is missing or not a child of the previous one, None if there is none.

    Args:
        spans: Spans from scout-sim's `GET /api/traces/{trace_id}`.
        topic: Topic of the reading.
    """
    parent: str | None = None
    for expected in expected_spans(topic):
        span = next((span for span in spans if expected.matches(span)), None)
        if span is None or span["parent_span_id"] != parent:
            return expected
        parent = span["span_id"]
    return None


def why_not_exported(environ: Mapping[str, str], *, sampled: bool) -> str | None:
    """Return the reason why the publish span is not exported, with the responsible variable; None if it is exported.

    Args:
        environ: The environment, with valid `OTEL_*` variables.
        sampled: The sampled flag of the span's context.
    """
    values = {name: value.strip().lower() for name, value in environ.items() if name.startswith("OTEL_")}
    if values.get("OTEL_SDK_DISABLED") == "true":
        return "traces are not exported: OTEL_SDK_DISABLED is true"
    if values.get("OTEL_TRACES_EXPORTER") == "none":
        return "traces are not exported: OTEL_TRACES_EXPORTER is none"
    if not sampled:  # without the variable, every root is sampled
        sampler = values.get("OTEL_TRACES_SAMPLER")
        return f"the publish span is not sampled: OTEL_TRACES_SAMPLER={sampler} excludes this reading"
    return None
