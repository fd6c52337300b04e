"""The cause of a failed step, from the spans of a trace and from the Collector's counters."""

from __future__ import annotations

import pytest
from mqtt_trace_producer.check_diagnosis import NextStep, find_missing_span

TOPIC = "sensors/check-1/reading"
ALL = [(f"publish {TOPIC}", "PRODUCER"), (f"process {TOPIC}", "CONSUMER"), ("POST", "CLIENT"), ("POST /echo", "SERVER")]


def make_spans(*names_and_kinds: tuple[str, str]) -> list[dict[str, object]]:
    """A chain of spans, each the parent of the next."""
    return [
        {
            "name": name,
            "kind": kind,
            "span_id": str(number),
            "parent_span_id": str(number - 1) if number else None,
            "attributes": {"messaging.destination.name": TOPIC} if kind in {"PRODUCER", "CONSUMER"} else {},
        }
        for number, (name, kind) in enumerate(names_and_kinds)
    ]


def test_no_span_is_missing_in_a_chain_of_four() -> None:
    """Publish, process, POST and POST /echo are complete when each is a child of the previous one."""
    assert find_missing_span(make_spans(*ALL), TOPIC) is None


def test_spans_named_by_a_template_are_found_by_their_topic() -> None:
    """With `OTEL_SEMCONV_STABILITY_OPT_IN=messaging`, the spans of this topic are found, those of another are not."""
    templates = [("publish sensors/{device_id}/reading", "PRODUCER"), ("process sensors/+/reading", "CONSUMER")]
    spans = make_spans(*templates, *ALL[2:])
    assert find_missing_span(spans, TOPIC) is None
    missing_span = find_missing_span(spans, "sensors/check-2/reading")
    assert missing_span is not None
    assert missing_span.name == "publish sensors/check-2/reading"


@pytest.mark.parametrize(
    ("missing", "next_step"),
    [(0, NextStep.COLLECTOR), (1, NextStep.CONSUMER), (2, NextStep.CONSUMER), (3, NextStep.ECHO)],
)
def test_each_missing_span_has_its_next_step(missing: int, next_step: NextStep) -> None:
    """Each of the four spans has a next step for the case that it is missing."""
    missing_span = find_missing_span([span for number, span in enumerate(make_spans(*ALL)) if number != missing], TOPIC)
    assert missing_span is not None
    assert (missing_span.name, missing_span.next_step) == (ALL[missing][0], next_step)


def test_a_span_with_another_parent_is_missing() -> None:
    """A process span that is a root counts as missing."""
    spans = make_spans(*ALL)
    spans[1]["parent_span_id"] = None
    missing_span = find_missing_span(spans, TOPIC)
    assert missing_span is not None
    assert missing_span.name == f"process {TOPIC}"
