"""The merged results of pods."""

from __future__ import annotations

import json
from typing import Any

import pytest
from mqtt_trace_operator.results.figures import Figures, Results, merge
from tests.pod_results import TRACE, answer, histogram, phase, results


def trace(number: int) -> str:
    """A trace id."""
    return f"{number:032x}"


def test_the_results_of_pods_add_up() -> None:
    """Merged results have the sums of all figures, by phase and in all, and percentiles of all readings."""
    one = results(
        phase(
            0, published=10, processed=8, waiting=2, duplicates=1, refused={"0x97": 1}, missing_context={"absent": 3}
        ),
        phase(1, published=5, processed=5, dropped=4, unnumbered=7, dead_lettered=1),
    )
    other = results(
        phase(0, published=20, processed=20, refused={"0x97": 2, "0x87": 1}, missing_context={"malformed": 1}),
    )
    merged = merge([one, other])
    first, total = merged.phases[0], merged.total
    assert (first.published, first.processed, first.waiting, first.duplicates) == (30, 28, 2, 1)
    assert (first.refused, first.missing_context) == ({"0x97": 3, "0x87": 1}, {"absent": 3, "malformed": 1})
    assert (total.published, total.dropped, total.unnumbered, total.dead_lettered) == (35, 4, 7, 1)
    assert total.age.count == 300
    assert total.age.percentile(50) == pytest.approx(0.05, rel=0.02)
    assert total.age.percentile(99) == pytest.approx(0.2, rel=0.02)


def test_merging_changes_no_part() -> None:
    """The results of a pod are the same after they were merged, so that they can be merged again."""
    one, other = results(phase()), results(phase())
    before = json.dumps(one.to_json())
    merge([one, other])
    assert json.dumps(one.to_json()) == before


def test_the_slowest_and_the_waiting_are_five() -> None:
    """Of all pods, the five slowest readings are kept, the slowest first, and five that wait."""
    parts = [
        results(
            phase(
                slowest=[[number + 10 * pod, trace(number + 10 * pod)] for number in (5, 4, 3, 2, 1)],
                waiting_traces=[trace(100 * pod + number) for number in range(1, 4)],
            )
        )
        for pod in (1, 2)
    ]
    total = merge(parts).total
    assert [age for age, _ in total.slowest] == [25, 24, 23, 22, 21]
    assert len(total.waiting_traces) == 5


def test_the_slowest_pod_and_the_worst_clock_count() -> None:
    """The time to connect is that of the slowest pod, and a consumer's skew the largest in either direction."""
    pods = [
        results(connected_within=2.0, clock_skew={"consumer-0": 0.003, "consumer-1": 0.001}),
        results(connected_within=None, clock_skew={"consumer-0": -0.9}),
        results(connected_within=3.5, clock_skew={}),
    ]
    merged = merge(pods)
    assert (merged.connected_within, merged.clock_skew) == (3.5, {"consumer-0": -0.9, "consumer-1": 0.001})


@pytest.mark.parametrize(("flags", "drained"), [((True, True), True), ((True, False), False)])
def test_all_are_drained_only_if_each_pod_is(flags: tuple[bool, ...], drained: bool) -> None:
    """One pod with a reading on its way is enough."""
    assert merge(results(drained=flag) for flag in flags).drained is drained


def test_results_survive_json() -> None:
    """Results that are written and read again are the same."""
    before = results(phase(0, refused={"0x97": 1}), phase(3, waiting=2, waiting_traces=[TRACE]), drained=True)
    assert Results.from_json(json.loads(json.dumps(before.to_json()))) == before


def test_figures_without_readings_take_no_room() -> None:
    """The history of fifty phases has to fit into a ConfigMap."""
    assert Figures().to_json() == {}


def test_traces_that_are_none_are_left_out() -> None:
    """A consumer of others may send anything as a trace id."""
    invalid = ["", "xyz", "0" * 32, TRACE.upper(), TRACE + "0"]
    figures = results(phase(slowest=[[1.0, one] for one in [*invalid, TRACE]], waiting_traces=invalid)).total
    assert (figures.slowest, figures.waiting_traces) == ([(1.0, TRACE)], [])


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        answer({"published": 1}),
        answer(phase(age={"buckets": 5})),
        answer(phase(refused=[1])),
        answer(connected_within="soon"),
    ],
)
def test_an_answer_of_another_form_is_refused(document: Any) -> None:
    """Each is one of the errors that the docstring names."""
    with pytest.raises((AttributeError, KeyError, TypeError, ValueError)):
        Results.from_json(document)


def test_a_figure_that_a_pod_does_not_report_is_none() -> None:
    """A pod may leave out what it has not counted."""
    found = results({"index": 0, "published": 2, "age": histogram(1.0)}).total
    assert (found.published, found.duplicates, found.refused.total(), found.puback.count) == (2, 0, 0, 0)
