"""The bookkeeping of spans that wait for an acknowledgement."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import INVALID_SPAN

from local.waiting import until
from mqtt_trace._spans.outcome import PublishOutcome
from mqtt_trace._spans.pending import PendingSpan, PendingSpans


@dataclass
class Publishes:
    """Pending spans, and the outcomes of those that ended."""

    limit: int = 100
    timeout: float = 60.0
    outcomes: list[PublishOutcome] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.spans = PendingSpans(self.limit, self.timeout, lambda _, outcome: self.outcomes.append(outcome))

    def publish(self, packet_id: int, *, early: bool = False, age: float = 0.0) -> None:
        """One publish, whose acknowledgement may come before `publish()` returns."""
        self.spans.call_begins()
        if early:
            self.spans.acknowledge(packet_id, None)
        self.spans.call_ends(packet_id, PendingSpan(INVALID_SPAN, time.monotonic() - age, {}, None))

    @property
    def errors(self) -> list[str | None]:
        """The errors with which the spans ended."""
        return [outcome.error_type for outcome in self.outcomes]


@given(st.lists(st.booleans(), max_size=50))
def test_each_publish_ends_once_whenever_its_acknowledgement_comes(early: list[bool]) -> None:
    """Each publish has one outcome, whether its acknowledgement comes before or after `publish()` returns."""
    publishes = Publishes()
    for packet_id, is_early in enumerate(early, 1):
        publishes.publish(packet_id, early=is_early)
    for packet_id in range(1, len(early) + 1):
        publishes.spans.acknowledge(packet_id, None)
    assert sorted(outcome.packet_id for outcome in publishes.outcomes) == list(range(1, len(early) + 1))
    assert len(publishes.spans) == 0


def test_an_acknowledgement_of_somebody_elses_publish_is_ignored() -> None:
    """Acknowledgements of the program's own publishes do not affect later spans with the same packet id."""
    publishes = Publishes()
    publishes.spans.acknowledge(7, None)
    publishes.publish(7)
    assert len(publishes.spans) == 1
    assert not publishes.outcomes


def test_an_early_acknowledgement_does_not_outlive_the_calls_it_may_belong_to() -> None:
    """An unclaimed acknowledgement is dropped when the current publishes have ended."""
    publishes = Publishes()
    publishes.spans.call_begins()
    publishes.spans.acknowledge(7, None)
    publishes.spans.call_ends()
    publishes.publish(7)
    assert len(publishes.spans) == 1


def test_the_oldest_gives_way_beyond_the_limit() -> None:
    """Memory is bounded however many publishes are never acknowledged."""
    publishes = Publishes(limit=3)
    for packet_id in range(1, 6):
        publishes.publish(packet_id)
    assert len(publishes.spans) == 3
    assert [(o.packet_id, o.error_type) for o in publishes.outcomes] == [(1, "overflow"), (2, "overflow")]


def test_only_what_is_too_old_expires() -> None:
    """Only spans that exceed the time-out since their own publish expire."""
    publishes = Publishes(timeout=60.0)
    publishes.publish(1, age=61.0)
    publishes.publish(2, age=1.0)
    publishes.spans.expire()
    assert [(o.packet_id, o.error_type) for o in publishes.outcomes] == [(1, "timeout")]
    assert len(publishes.spans) == 1


def test_closing_ends_everything() -> None:
    """Closing ends every span."""
    publishes = Publishes()
    publishes.publish(1)
    publishes.publish(2)
    publishes.spans.close()
    assert publishes.errors == ["closed", "closed"]


@pytest.mark.parametrize(("early", "error"), [(False, "closed"), (True, None)])
def test_a_publish_that_is_under_way_while_all_is_closed_ends_with_it(early: bool, error: str | None) -> None:
    """A publish in progress ends with the close, unless it was acknowledged in time."""
    publishes = Publishes()
    publishes.spans.call_begins()
    if early:
        publishes.spans.acknowledge(1, None)
    publishes.spans.close()
    publishes.spans.call_ends(1, PendingSpan(INVALID_SPAN, time.monotonic(), {}, None))
    assert (publishes.errors, len(publishes.spans)) == ([error], 0)


def test_a_quiet_clients_spans_expire_by_themselves() -> None:
    """No later publish is needed for a span to time out."""
    publishes = Publishes(timeout=0.01)
    publishes.publish(1)
    until(lambda: publishes.errors == ["timeout"], "the span timed out")


IN_A_CHILD = """
import os
import sys
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from mqtt_trace import TracedPublisher
from mqtt_trace._spans.sweeper import sweeper

provider = TracerProvider(shutdown_on_exit=False)
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(formatter=lambda span: span.name + "\\n")))
publisher = TracedPublisher(Client(CallbackAPIVersion.VERSION2), tracer_provider=provider)
publisher.publish("parent/x", "x", 1)
child = os.fork()
if child:
    os.waitpid(child, 0)
else:
    print("pending in the child:", publisher.pending)
    TracedPublisher(Client(CallbackAPIVersion.VERSION2), tracer_provider=provider).publish("child/x", "x", 1)
sweeper.close()
publisher.close()
sys.stdout.flush()
os._exit(0)
"""
"""Prints the name of each ended span; the parent's after the child's."""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on Windows")
def test_a_forked_child_ends_its_own_spans_only() -> None:
    """A forked child ends only its own spans, including by time-out."""
    done = subprocess.run([sys.executable, "-c", IN_A_CHILD], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines() == ["pending in the child: 0", "publish child/x", "publish parent/x"]
