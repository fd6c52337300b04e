"""The history of a scenario: pods that end, an operator that restarts, and the time series."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from mqtt_trace_operator.results.figures import Figures, Results
from mqtt_trace_operator.results.history import MAX_POINTS, History, PodReport, Point
from mqtt_trace_operator.scenario.started import StartedScenario
from mqtt_trace_service.histogram import Histogram
from mqtt_trace_service.scenario import Clock, Scenario
from tests.pod_results import phase, results

START = datetime(2026, 11, 30, 9, 0, tzinfo=UTC).timestamp()
SHORT = Scenario.model_validate(
    {
        "phases": [
            {"name": "ramp", "duration": "30s"},
            {"name": "burst", "duration": "30s"},
            {"name": "end", "duration": "30s"},
        ]
    }
)


def at(seconds: float, scenario: Scenario = SHORT) -> StartedScenario:
    """The scenario some seconds after its start."""
    started = StartedScenario.find(scenario, Clock(started_at=START), datetime.fromtimestamp(START + seconds, UTC))
    assert started is not None
    return started


def observe(history: History, seconds: float, *reports: PodReport) -> Results:
    """Observe these pods some seconds after the start of the scenario."""
    return history.observe(reports, at(seconds), START + seconds)


def pod(index: int, found: Results | None, *, ending: bool = False) -> PodReport:
    """The report of a pod."""
    return PodReport(f"uid-{index}", f"demo-{index}", ending, found)


def restarted(history: History) -> History:
    """The history as the next operator reads it."""
    return History.from_data(history.to_data())


def point(at: float) -> Point:
    """A point of the series."""
    return Point(at, 0, 1, 2, 3, 4, 5, None)


@pytest.fixture
def history() -> History:
    """The history of a scenario that has just started."""
    return History(START)


def test_the_results_are_those_of_all_pods(history: History) -> None:
    """A pod's newer report replaces its former one, for reports count from the start."""
    observe(history, 2, pod(0, results(phase(published=10))), pod(1, results(phase(published=20))))
    found = observe(history, 4, pod(0, results(phase(published=30))), pod(1, results(phase(published=40))))
    assert found.total.published == 70


def test_a_pod_that_does_not_answer_counts_as_before(history: History) -> None:
    """A missing answer is not a report of nothing."""
    observe(history, 2, pod(0, results(phase(published=10))))
    assert observe(history, 4, pod(0, None)).total.published == 10


def test_the_results_of_a_former_scenario_do_not_count(history: History) -> None:
    """A pod that has not read of the new scenario yet reports those of the one before."""
    assert observe(history, 1, pod(0, results(phase(duplicates=9), since=START - 300))).total == Figures()
    assert observe(history, 3, pod(0, results(phase(published=7)))).total.published == 7


def test_a_restart_of_the_operator_changes_nothing(history: History) -> None:
    """The next operator asks the living pods again, and knows those that have ended."""
    observe(history, 2, pod(0, results(phase(published=10), drained=True), ending=True), pod(1, results(phase())))
    before = observe(history, 4, pod(1, results(phase(published=50))))
    after = observe(restarted(history), 6, pod(1, results(phase(published=50))))
    assert after == before
    assert after.total.published == 60


def test_a_pod_that_has_drained_counts_once(history: History) -> None:
    """The last report of a pod that ends counts, whether or not it is seen again before it is gone."""
    last = pod(0, results(phase(published=10), drained=True), ending=True)
    for seconds in (2, 4):
        assert observe(history, seconds, last).total.published == 10
        history = restarted(history)
    assert observe(history, 6).total.published == 10
    assert not history.unreported


def test_a_new_pod_of_the_same_name_adds_up(history: History) -> None:
    """A pod that replaces another one begins with nothing."""
    observe(history, 2, PodReport("old", "demo-0", ending=True, results=results(phase(published=10), drained=True)))
    assert (
        observe(
            history, 4, PodReport("new", "demo-0", ending=False, results=results(phase(published=5)))
        ).total.published
        == 15
    )


@pytest.mark.parametrize("operator_restarts", [False, True])
def test_a_pod_that_is_gone_leaves_readings_unknown(history: History, operator_restarts: bool) -> None:
    """Nobody knows what became of the readings of a pod that ended without a last report."""
    observe(history, 2, pod(0, results(phase(published=10, processed=7, waiting=3))))
    if operator_restarts:
        history = restarted(history)
    total = observe(history, 4).total
    assert (total.published, total.waiting) == (10, 0)
    assert total.unknown == (10 if operator_restarts else 3)
    assert restarted(history).unreported == ["demo-0"]


@pytest.mark.parametrize("operator_restarts", [False, True])
def test_a_container_that_forgets_leaves_readings_unknown(history: History, operator_restarts: bool) -> None:
    """A container that restarts without its figures counts further readings only."""
    observe(history, 2, pod(0, results(phase(published=10, processed=9, waiting=1), epoch="a")))
    if operator_restarts:
        history = restarted(history)
    total = observe(history, 4, pod(0, results(phase(published=5, processed=5), epoch="b"))).total
    assert (total.published, total.unknown) == (15, 10 if operator_restarts else 1)
    assert history.unreported == ["demo-0"]


def test_a_pod_that_never_answered_leaves_nothing(history: History) -> None:
    """A pod that never ran is not missed."""
    observe(history, 2, pod(0, None))
    observe(history, 4)
    assert not history.unreported


def test_final_results_stay(history: History) -> None:
    """Once the results are final, they do not depend on the pods any more."""
    observe(history, 91, pod(0, results(phase(published=10))), pod(1, results(phase(published=5, waiting=2))))
    final = history.finish([pod(0, None), pod(1, results(phase()))], 2)
    assert (final.total.published, final.total.waiting, final.total.unknown) == (15, 2, 0)
    assert history.unreported == ["demo-0"]
    history = restarted(history)
    assert (history.final, history.results) == (True, final)


def test_a_phase_keeps_its_start(history: History) -> None:
    """The starts are exact, though each phase is observed later."""
    for seconds in (2, 29, 31, 40, 75):
        observe(history, seconds)
    assert restarted(history).phase_starts == {0: START, 1: START + 30, 2: START + 60}


def test_observations_have_a_distance(history: History) -> None:
    """Events of a fleet do not make its pods answer more often, but a new phase and a pod that ends do."""
    assert history.wait_s(at(1), (), START + 1) == 0
    observe(history, 1, pod(0, results(phase())))
    assert history.wait_s(at(1.5), (), START + 1.5) == pytest.approx(1.5)
    assert history.wait_s(at(3), (), START + 3) == 0
    assert history.wait_s(at(1.5), ["uid-0"], START + 1.5) == 0
    observe(history, 29)
    assert history.wait_s(at(30), (), START + 30) == 0
    observe(history, 89.5)
    assert history.wait_s(at(90), (), START + 90) == 0


def test_a_long_scenario_is_still_observed() -> None:
    """Ten seconds at most, so that a threshold that breaks is noticed."""
    day = Scenario.model_validate({"phases": [{"name": "soak", "duration": "24h"}]})
    history = History(START)
    history.observe([], at(1, day), START + 1)
    assert history.wait_s(at(2, day), (), START + 2) == 9


@pytest.mark.parametrize("duration", ["30s", "1h", "24h"])
def test_the_series_is_bounded(duration: str) -> None:
    """A scenario of any length has at most three hundred points, spread over all of it."""
    scenario = Scenario.model_validate({"phases": [{"name": "soak", "duration": duration}]})
    history, step = History(START), scenario.length / 2000
    for number in range(2000):
        history.record(point(START + number * step), at(number * step, scenario))
    assert len(history.points) <= MAX_POINTS
    assert history.points[-1].at - history.points[0].at > 0.9 * scenario.length
    assert restarted(history).points == history.points


def test_a_pause_does_not_overflow_the_series(history: History) -> None:
    """A scenario that is paused for long keeps its first and its last points."""
    for number in range(4 * MAX_POINTS):
        history.record(point(START + 2 * number), at(1))
    assert len(history.points) <= MAX_POINTS
    assert (history.points[0].at, history.points[-1].at) == (START, START + 2 * (4 * MAX_POINTS - 1))


def test_the_history_of_the_largest_scenario_fits_into_a_config_map(history: History) -> None:
    """Fifty phases with figures of every kind and two hundred pods take less than a MiB."""
    wide = Histogram()
    for exponent in range(200):
        wide.add(0.001 * 1.03**exponent)
    figures: dict[str, Any] = {"age": wide.to_json(), "puback": wide.to_json(), "refused": {"0x97": 10**6}}
    all_phases = results(*(phase(index, **figures) for index in range(50)), drained=True)
    pods = [
        PodReport(f"{index:036d}", f"{'x' * 50}-{index}", ending=False, results=results(phase()))
        for index in range(200)
    ]
    history.observe([pod(0, all_phases, ending=True), *pods], at(1), START)
    for number in range(MAX_POINTS):
        history.record(point(START + 2 * number + 0.1), at(1))
    assert sum(map(len, history.to_data().values())) < 2**20


@pytest.mark.parametrize("data", [{}, {"results.json": "{"}, {"results.json": "[]", "series.json": "{}"}])
def test_a_config_map_of_another_form_is_refused(data: dict[str, str]) -> None:
    """Each is one of the errors that the docstring names."""
    with pytest.raises((AttributeError, KeyError, TypeError, ValueError)):
        History.from_data(data)
