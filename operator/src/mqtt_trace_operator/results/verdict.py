"""The verdict on a scenario: whether the results keep the thresholds of `spec.expect`. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Literal

from mqtt_trace_service.histogram import Histogram
from mqtt_trace_service.scenario import to_seconds

from mqtt_trace_operator.diagnosis import Reason
from mqtt_trace_operator.results.expect import Expect
from mqtt_trace_operator.results.figures import Figures, Results
from mqtt_trace_operator.results.notation import write_duration


class Stage(Enum):
    """How far a scenario is."""

    RUNNING = auto()
    """Its phases run, or wait for their start."""
    DRAINING = auto()
    """Its phases are over, and readings may still be on their way."""
    FINAL = auto()
    """No figure changes any more: what is waiting is lost."""


@dataclass(frozen=True)
class Verdict:
    """A verdict, or that there is none yet.

    Attributes:
        condition: `Failed` once a threshold broke, `Passed` once all hold and the results are final; else None.
        reason: The threshold that broke, with a sentence that has the figures.
    """

    condition: Literal["Passed", "Failed"] | None
    reason: Reason

    @property
    def passed(self) -> bool:
        """Whether all thresholds hold and the results are final."""
        return self.condition == "Passed"

    @property
    def failed(self) -> bool:
        """Whether a threshold broke."""
        return self.condition == "Failed"


@dataclass(frozen=True)
class Evidence:
    """All that a verdict depends on.

    Attributes:
        results: The results of all pods.
        stage: How far the scenario is.
        phases: The names of its phases, by their index in the results.
        phase: The name of the phase in effect.
        unreported: Pods that ended, or do not answer any more, before they reported their last readings.
    """

    results: Results
    stage: Stage
    phases: Sequence[str]
    phase: str = ""
    unreported: Sequence[str] = ()


def judge(expect: Expect, evidence: Evidence, first: str = "") -> Verdict:
    """Judge the results.

    A threshold that cannot recover fails the scenario while it runs; the others, only when its results are final. It
    passes only when they are.

    Args:
        expect: The thresholds.
        evidence: The results.
        first: The reason for which it has failed already. That threshold stays the one that the verdict names.
    """
    broken = list(_find_broken(expect, evidence))
    if broken:
        return Verdict("Failed", next((reason for reason in broken if reason.name == first), broken[0]))
    total = evidence.results.total
    if evidence.stage is Stage.FINAL:
        return Verdict("Passed", Reason("ThresholdsHold", _summarize(total)))
    if evidence.stage is Stage.DRAINING:
        return Verdict(None, Reason("Draining", f"{_readings(total.waiting)} waiting for a receipt"))
    return Verdict(None, Reason("Running", f"phase {evidence.phase}: no threshold broke so far"))


def _find_broken(expect: Expect, evidence: Evidence) -> Iterator[Reason]:
    total = evidence.results.total
    final = evidence.stage is Stage.FINAL
    if evidence.unreported:
        unknown = f"{_readings(total.unknown)} of which nobody knows whether they were processed"
        yield Reason("Unreported", f"{_pods(evidence.unreported)} ended without a last report: {unknown}")
    if final and not total.published + total.unnumbered:
        yield Reason("NothingPublished", f"the broker acknowledged no reading{_why_none(total)}")
    if expect.lost is not None and final and total.waiting > expect.lost:
        where = _worst_phase(evidence, "waiting")
        yield Reason("Lost", f"{total.waiting} of {_readings(total.published)} lost{where}, {_limit(expect.lost)}")
    yield from _broken_counts(expect, evidence, total)
    yield from _broken_connecting(expect, evidence.results, final)
    if final:
        yield from _broken_percentiles(expect, total)


def _broken_counts(expect: Expect, evidence: Evidence, total: Figures) -> Iterator[Reason]:
    if expect.duplicates is not None and total.duplicates > expect.duplicates:
        where = _worst_phase(evidence, "duplicates")
        yield Reason("Duplicates", f"{_count(total.duplicates, 'duplicate')}{where}, {_limit(expect.duplicates)}")
    if expect.dead_lettered is not None and total.dead_lettered > expect.dead_lettered:
        where = _worst_phase(evidence, "dead_lettered")
        sent = f"{_readings(total.dead_lettered)} dead-lettered{where}"
        yield Reason("DeadLettered", f"{sent}, {_limit(expect.dead_lettered)}")
    for missing in expect.missing_context:
        if (count := total.missing_context[missing.reason]) > missing.max:
            found = f"{_readings(count)} without a trace context for the reason {missing.reason}"
            yield Reason("MissingContext", f"{found}, {_limit(missing.max)}")


def _broken_connecting(expect: Expect, results: Results, final: bool) -> Iterator[Reason]:
    if expect.connected_within is None:
        return
    took = results.connected_within
    if took is not None and took > to_seconds(expect.connected_within):
        limit = f"expected within {expect.connected_within}"
        yield Reason("ConnectedWithin", f"the sensors of a pod needed {write_duration(took)} to connect, {limit}")
    elif took is None and final:
        yield Reason("ConnectedWithin", f"no pod connected all its sensors, expected within {expect.connected_within}")


def _broken_percentiles(expect: Expect, total: Figures) -> Iterator[Reason]:
    thresholds: tuple[tuple[str, str, Histogram, float, str | None], ...] = (
        ("AgeP50", "age", total.age, 50, expect.age_p50),
        ("AgeP95", "age", total.age, 95, expect.age_p95),
        ("AgeP99", "age", total.age, 99, expect.age_p99),
        ("PublishP99", "publish", total.puback, 99, expect.publish_p99),
    )
    for name, what, histogram, percent, threshold in thresholds:
        if threshold is None:
            continue
        found = histogram.percentile(percent)
        if found is None:
            yield Reason(
                name, f"no reading has {'an age' if what == 'age' else 'a PUBACK time'} to compare with {threshold}"
            )
        elif found > to_seconds(threshold):
            yield Reason(name, f"{what} p{percent:g} is {write_duration(found)}, expected at most {threshold}")


def _summarize(total: Figures) -> str:
    parts = [f"{_readings(total.published)} published", f"{total.processed} processed", f"{total.waiting} lost"]
    parts += [_count(total.duplicates, "duplicate")]
    if (p95 := total.age.percentile(95)) is not None:
        parts.append(f"age p95 {write_duration(p95)}")
    return ", ".join(parts)


def _why_none(total: Figures) -> str:
    if not total.refused:
        return ""
    codes = ", ".join(f"{count} with {code}" for code, count in total.refused.most_common(3))
    return f" and refused {total.refused.total()}: {codes}"


def _worst_phase(evidence: Evidence, figure: str) -> str:
    """Where most of a figure's readings are, if there is more than one phase."""
    if len(evidence.phases) < 2:  # noqa: PLR2004 - the only phase is no news
        return ""
    counts = {index: getattr(figures, figure) for index, figures in evidence.results.phases.items()}
    worst = max(counts, key=lambda index: (counts[index], -index))
    return f" ({counts[worst]} in phase {evidence.phases[worst % len(evidence.phases)]})"


def _limit(most: int) -> str:
    return f"expected at most {most}"


def _readings(count: int) -> str:
    return _count(count, "reading")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _pods(names: Sequence[str]) -> str:
    first, *others = names
    return f"{first} and {_count(len(others), 'other pod')}" if others else first
