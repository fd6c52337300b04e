"""What the environment, the trace and the Collector's counters prove."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

EXPORTER = "otlp_http/b14"

_SAMPLE = re.compile(r"^(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?P<labels>.*)\})? (?P<value>\S+)", re.MULTILINE)


class NextStep(Enum):
    """Where to look next; the value is the setting that says how."""

    BROKER = "next_broker"
    CONSUMER = "next_consumer"
    ECHO = "next_echo"
    COLLECTOR = "next_collector"
    SECRET = "next_secret"  # noqa: S105 - the name of a setting


@dataclass(frozen=True, slots=True)
class ExpectedSpan:
    """One of the four spans of a reading.

    Attributes:
        name: The span's name.
        kind: Its kind.
        next_step: Whom to look at when it is missing.
        topic: That of its message, None for an HTTP span.
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
    """The four spans of a reading, each the parent of the next."""
    return [
        ExpectedSpan(f"publish {topic}", "PRODUCER", NextStep.COLLECTOR, topic),
        ExpectedSpan(f"process {topic}", "CONSUMER", NextStep.CONSUMER, topic),
        ExpectedSpan("POST", "CLIENT", NextStep.CONSUMER),
        ExpectedSpan("POST /echo", "SERVER", NextStep.ECHO),
    ]


def find_missing_span(spans: Sequence[Mapping[str, Any]], topic: str) -> ExpectedSpan | None:
    """The first of the four spans that is missing or not the child of the one before it; None when all are there.

    Args:
        spans: As scout-sim's `GET /api/traces/{trace_id}` gives them.
        topic: Where the reading was published.
    """
    parent: str | None = None
    for expected in expected_spans(topic):
        span = next((span for span in spans if expected.matches(span)), None)
        if span is None or span["parent_span_id"] != parent:
            return expected
        parent = span["span_id"]
    return None


def why_not_exported(environ: Mapping[str, str], *, sampled: bool) -> str | None:
    """Which variable keeps the publish span from being exported, in words; None when it is exported.

    Args:
        environ: Its `OTEL_*` variables can be used.
        sampled: Whether the span's context says so.
    """
    values = {name: value.strip().lower() for name, value in environ.items() if name.startswith("OTEL_")}
    if values.get("OTEL_SDK_DISABLED") == "true":
        return "traces are not exported: OTEL_SDK_DISABLED is true"
    if values.get("OTEL_TRACES_EXPORTER") == "none":
        return "traces are not exported: OTEL_TRACES_EXPORTER is none"
    if not sampled:  # without the variable, every root is
        sampler = values.get("OTEL_TRACES_SAMPLER")
        return f"the publish span is not sampled: OTEL_TRACES_SAMPLER={sampler} leaves this reading out"
    return None


@dataclass(frozen=True, slots=True)
class SpanCounts:
    """The Collector's own counters of spans for Scout.

    Attributes:
        sent: Spans that Scout has taken.
        failed: Spans that were given up.
    """

    sent: float
    failed: float


def parse_span_counts(metrics: str) -> SpanCounts:
    """Read the counters from the text that the Collector exposes for Prometheus."""
    return SpanCounts(
        sent=_total(metrics, "otelcol_exporter_sent_spans"),
        failed=_total(metrics, "otelcol_exporter_send_failed_spans"),
    )


def _total(metrics: str, name: str) -> float:
    ours = f'exporter="{EXPORTER}"'
    return sum(
        float(sample["value"])
        for sample in _SAMPLE.finditer(metrics)
        if sample["name"].removesuffix("_total") == name and ours in (sample["labels"] or "")
    )
