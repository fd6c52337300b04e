"""The results of a scenario: the pods' reports, merged. Pure.

A pod reports what became of its own readings, by phase. Reports of different pods add up exactly: they count different
readings, and their histograms have the same buckets.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from mqtt_trace_service.histogram import Histogram

Json = Mapping[str, Any]

EXAMPLES = 5
"""Trace ids that are kept of the slowest readings, and of those without a receipt."""

_TRACE_ID = re.compile("(?!0{32})[0-9a-f]{32}", re.ASCII)

_CONSUMERS = 20
"""Consumers whose clock skew is kept: those with the largest."""


@dataclass
class Figures:
    """The figures of some readings, such as those of a phase.

    Attributes:
        published: Readings that the broker has acknowledged.
        processed: Of these, readings with a receipt.
        waiting: Of these, readings without a receipt.
        duplicates: Receipts after the first of a reading.
        dead_lettered: Readings in the dead-letter topic.
        unnumbered: Readings of MQTT 3.1.1, which carries no number.
        dropped: Readings that a sensor gave up.
        unknown: Readings that were waiting when their pod ended without a last report.
        refused: Refused readings by reason code.
        missing_context: Readings without a usable trace context by reason.
        puback: Seconds from PUBLISH to PUBACK.
        age: Seconds from the publish of a reading to the end of its processing.
        slowest: Age and trace id of the oldest readings, the oldest first.
        waiting_traces: Trace ids of readings without a receipt.
    """

    published: int = 0
    processed: int = 0
    waiting: int = 0
    duplicates: int = 0
    dead_lettered: int = 0
    unnumbered: int = 0
    dropped: int = 0
    unknown: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    missing_context: Counter[str] = field(default_factory=Counter)
    puback: Histogram = field(default_factory=Histogram)
    age: Histogram = field(default_factory=Histogram)
    slowest: list[tuple[float, str]] = field(default_factory=list)
    waiting_traces: list[str] = field(default_factory=list)

    @classmethod
    def from_json(cls, document: Json) -> Self:
        """Read a phase of a pod's report, or what `to_json` returned; a missing figure is zero.

        Raises:
            KeyError, TypeError, ValueError: It is something else.
        """
        figures = cls()
        for name in _COUNTS:
            setattr(figures, name, int(document.get(name, 0)))
        for name in _COUNTERS:
            counts = document.get(name, {}).items()
            getattr(figures, name).update({str(reason): int(count) for reason, count in counts})
        for name in _HISTOGRAMS:
            if found := document.get(name):
                setattr(figures, name, Histogram.from_json(found))
        # Consumers of others send trace ids, too.
        figures.slowest = [(float(age), trace) for age, trace in document.get("slowest", []) if _is_trace(trace)]
        figures.waiting_traces = [trace for trace in document.get("waiting_traces", []) if _is_trace(trace)]
        return figures

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object without zeros."""
        found: dict[str, Any] = {name: getattr(self, name) for name in (*_COUNTS, *_COUNTERS)}
        found |= {name: histogram.to_json() for name in _HISTOGRAMS if (histogram := getattr(self, name)).count}
        found |= {"slowest": [list(pair) for pair in self.slowest], "waiting_traces": self.waiting_traces}
        return {name: value for name, value in found.items() if value}

    def add(self, other: "Figures") -> None:
        """Add the figures of other readings."""
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in _COUNTERS:
            getattr(self, name).update(getattr(other, name))
        for name in _HISTOGRAMS:
            getattr(self, name).merge(getattr(other, name))
        self.slowest = sorted([*self.slowest, *other.slowest], reverse=True)[:EXAMPLES]
        self.waiting_traces = [*self.waiting_traces, *other.waiting_traces][:EXAMPLES]

    def give_up(self) -> None:
        """Take what is waiting for unknown: no pod will report its receipts."""
        self.unknown, self.waiting = self.unknown + self.waiting, 0


def _is_trace(text: str) -> bool:
    return _TRACE_ID.fullmatch(text) is not None


_HISTOGRAMS = ("puback", "age")
_COUNTERS = ("refused", "missing_context")
_COUNTS = tuple(one.name for one in fields(Figures) if one.type is int)


@dataclass
class Results:
    """The results of one or more pods.

    Attributes:
        phases: Figures by the index of the phase in the scenario.
        clock_skew: Seconds by which the clock of each consumer is ahead of the sensors'.
        connected_within: Seconds that the slowest pod took to connect all its sensors; None while none has.
        drained: Whether nothing of a complete scenario, or of a pod that ends, is on its way any more.
        since: When the pod began to count, but at least the start of its scenario, in seconds; 0 for several pods.
        epoch: Names what the pod has counted since; another one begins with nothing. Empty for several pods.
    """

    phases: dict[int, Figures] = field(default_factory=dict)
    clock_skew: dict[str, float] = field(default_factory=dict)
    connected_within: float | None = None
    drained: bool = True
    since: float = 0.0
    epoch: str = ""

    @classmethod
    def from_json(cls, document: Json) -> Self:
        """Read a pod's answer to `GET /results`, or what `to_json` returned.

        Raises:
            AttributeError, KeyError, TypeError, ValueError: It is something else.
        """
        results = cls(
            clock_skew={str(consumer): float(skew) for consumer, skew in document["clock_skew"].items()},
            connected_within=None if document["connected_within"] is None else float(document["connected_within"]),
            drained=bool(document["drained"]),
            since=float(document["since"]),
            epoch=str(document["epoch"]),
        )
        for phase in document["phases"]:
            results.phases[int(phase["index"])] = Figures.from_json(phase)
        return results

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "phases": [{"index": index, **figures.to_json()} for index, figures in sorted(self.phases.items())],
            "clock_skew": self.clock_skew,
            "connected_within": self.connected_within,
            "drained": self.drained,
            "since": self.since,
            "epoch": self.epoch,
        }

    def add(self, other: "Results") -> None:
        """Add the results of other pods."""
        for index, figures in other.phases.items():
            self.phases.setdefault(index, Figures()).add(figures)
        skews = {**self.clock_skew}
        for consumer, skew in other.clock_skew.items():
            skews[consumer] = max(skew, skews.get(consumer, 0.0), key=abs)
        self.clock_skew = dict(sorted(skews.items(), key=lambda item: -abs(item[1]))[:_CONSUMERS])
        times = [seconds for seconds in (self.connected_within, other.connected_within) if seconds is not None]
        self.connected_within = max(times, default=None)
        self.drained = self.drained and other.drained

    @property
    def total(self) -> Figures:
        """The figures of all phases."""
        total = Figures()
        for figures in self.phases.values():
            total.add(figures)
        return total


def merge(results: Iterable[Results]) -> Results:
    """Merge the results of pods, none of which counts a reading of another."""
    merged = Results()
    for one in results:
        merged.add(one)
    return merged
