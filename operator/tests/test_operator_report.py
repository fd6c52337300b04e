"""The report on a fleet's scenario."""

from __future__ import annotations

import re
import subprocess
import sysconfig
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from mqtt_trace_operator.report.page import format_page
from mqtt_trace_operator.report.record import NoResultsError, Record
from mqtt_trace_operator.report.table import format_table
from mqtt_trace_operator.results.expect import Expect
from mqtt_trace_operator.results.history import History, PodReport, Point
from mqtt_trace_operator.results.status import build_conditions, build_results
from mqtt_trace_operator.results.verdict import Evidence, Stage, judge
from mqtt_trace_operator.scenario.started import StartedScenario
from mqtt_trace_service.scenario import Clock, Scenario
from playwright.sync_api import Page, sync_playwright
from tests.pod_results import TRACE, phase, results
from tests.sample_record import sample_record

from local.documents import blocks
from local.needed import found, needs

START = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)
SCENARIO: dict[str, Any] = {
    "phases": [{"name": "ramp", "duration": "30s"}, {"name": "<burst>", "duration": "30s"}],
}


def make_fleet(now: datetime, *, expect: dict[str, Any] | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """A fleet with results, and its ConfigMap of results, as the operator leaves them at this time."""
    scenario = Scenario.model_validate(SCENARIO)
    history, seconds = History(START.timestamp()), int((now - START).total_seconds())
    for second in range(1, seconds, 2):
        time = datetime.fromtimestamp(START.timestamp() + second, UTC)
        started = StartedScenario.find(scenario, Clock(started_at=START.timestamp()), time)
        assert started is not None
        report = results(
            phase(0, published=min(second, 30) * 10, processed=min(second, 30) * 10, missing_context={"absent": 2}),
            phase(1, published=max(second - 30, 0) * 50, processed=max(second - 30, 0) * 50 - 3, waiting=3),
        )
        total = history.observe(
            [PodReport("uid", "demo-0", ending=False, results=report)], started, time.timestamp()
        ).total
        point = Point(time.timestamp(), started.moment.index, 10, total.published, total.processed, 3, 0, 0.05)
        history.record(point, started)
    names = [one.name for one in scenario.phases]
    final = seconds > 60
    document = build_results(
        history.results, names, started_at=START.timestamp(), observed_at=now, final=final, unreported=[]
    )
    status: dict[str, Any] = {"results": document, "conditions": []}
    if expect is not None:
        stage = Stage.FINAL if final else Stage.RUNNING
        verdict = judge(Expect.model_validate(expect), Evidence(history.results, stage, names, names[-1]))
        status["conditions"] = build_conditions(verdict, {}, 1, now)
    fleet = {"metadata": {"name": "demo", "namespace": "iot"}, "spec": {"scenario": SCENARIO}, "status": status}
    return fleet, {"data": history.to_data()}


AT_THE_END = datetime(2026, 11, 30, 9, 1, 30, tzinfo=UTC)
IN_THE_MIDDLE = datetime(2026, 11, 30, 9, 0, 45, tzinfo=UTC)


def test_the_table_has_the_figures_of_each_phase() -> None:
    """A person reads the verdict first, then the figures, and what else there is to know."""
    text = format_table(Record.read(*make_fleet(AT_THE_END, expect={"lost": 3})))
    first, second, _, head, ramp, burst, total, _, *others = text.splitlines()
    assert first.startswith("Passed: ")
    assert second == "fleet iot/demo, started 2026-11-30T09:00:00Z, results of 2026-11-30T09:01:30Z"
    assert re.split(r"  +", head)[:5] == ["phase", "published", "processed", "waiting", "lost"]
    assert ramp.split()[:5] == ["ramp", "300", "300", "0", "0"]
    assert burst.split()[:5] == ["<burst>", "2950", "2947", "0", "3"]
    assert total.split()[:5] == ["all", "3250", "3247", "0", "3"]
    assert len({len(line) for line in (head, ramp, burst, total)}) == 1
    assert [tuple(re.split(r"  +", line, maxsplit=1)) for line in others] == [
        ("missing contexts", "2 absent"),
        ("all connected within", "2.1s"),
        ("clocks ahead of the sensors'", "consumer-0 3ms"),
        ("slowest traces", TRACE),
        ("", TRACE),
    ]


def test_the_documentation_shows_a_report() -> None:
    """The page has the table as the command prints it."""
    shown = [block.code for block in blocks("how-to/verdict.md", "text")]
    assert format_table(sample_record()) in shown


@pytest.mark.parametrize(
    ("now", "expect", "first"),
    [
        (AT_THE_END, {"lost": 0}, "Failed: 3 of 3250 readings lost (3 in phase <burst>), expected at most 0"),
        (IN_THE_MIDDLE, {"lost": 0}, "Running: phase <burst>: no threshold broke so far"),
        (IN_THE_MIDDLE, None, "Running: without spec.expect, nothing is judged"),
        (AT_THE_END, None, "Complete: without spec.expect, nothing is judged"),
    ],
)
def test_the_first_line_is_the_verdict(now: datetime, expect: dict[str, Any] | None, first: str) -> None:
    """It says what the conditions say, or that there is nothing to judge."""
    assert format_table(Record.read(*make_fleet(now, expect=expect))).splitlines()[0] == first


@pytest.mark.parametrize(
    ("fleet", "problem"),
    [
        ({"spec": {}}, "fleet demo has no scenario, and only a scenario has results"),
        ({"spec": {"scenario": SCENARIO}}, "the scenario of fleet demo has not started"),
        ({"spec": {"scenario": SCENARIO}, "status": {}}, "the scenario of fleet demo has not started"),
    ],
)
def test_a_fleet_without_results_has_no_report(fleet: dict[str, Any], problem: str) -> None:
    """The message says what is missing."""
    with pytest.raises(NoResultsError, match=f"^{problem}$"):
        Record.read({"metadata": {"name": "demo", "namespace": "iot"}, **fleet}, None)


def test_the_command_says_in_one_line_what_is_wrong(tmp_path: Path) -> None:
    """Without a cluster there is no traceback."""
    command = Path(sysconfig.get_path("scripts")) / "mqtt-trace-fleet"
    environment = {"KUBECONFIG": str(tmp_path / "none"), "PATH": "/usr/bin", "HOME": str(tmp_path)}
    done = subprocess.run([command, "report", "demo"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert re.fullmatch(r"mqtt-trace-fleet: KUBECONFIG gives access to no cluster: .*\n", done.stderr)


@pytest.fixture
def browser_page() -> Iterator[Page]:
    """A page of a browser that is offline."""
    driver = subprocess.run([Path(sysconfig.get_path("scripts")) / "playwright", "--version"], check=False)
    if driver.returncode:
        pytest.skip("no libatomic.so.1, which Playwright needs: install libatomic1")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found("chromium"), args=["--no-sandbox", "--disable-gpu", "--disable-quic"]
        )
        context = browser.new_context(viewport={"width": 1280, "height": 800}, offline=True)
        yield context.new_page()
        browser.close()


@needs("chromium")
def test_the_page_plots_without_a_network(browser_page: Page, tmp_path: Path) -> None:
    """The one file shows table and plots in a browser that is offline, and asks for nothing else."""
    file = tmp_path / "report.html"
    file.write_text(format_page(Record.read(*make_fleet(AT_THE_END, expect={"lost": 3}))), encoding="utf-8")
    page, problems, requests = browser_page, [], []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: requests.append(request.url))
    page.goto(file.as_uri())
    assert page.locator(".verdict").inner_text().startswith("Passed: ")
    assert page.get_by_role("row").nth(2).get_by_role("cell").all_inner_texts()[:3] == ["<burst>", "2950", "2947"]
    page.locator(".scatterlayer .trace").first.wait_for(state="attached")
    assert page.locator(".scatterlayer .trace").count() == 5
    assert {"ramp", "<burst>"} <= set(page.locator(".annotation-text").all_text_contents())
    assert problems == []
    assert [url for url in requests if not url.startswith(("file:", "blob:", "data:"))] == []


@needs("chromium")
def test_a_page_without_history_says_so(browser_page: Page, tmp_path: Path) -> None:
    """If somebody has deleted the ConfigMap, there is still the table."""
    fleet, _ = make_fleet(AT_THE_END)
    file = tmp_path / "report.html"
    file.write_text(format_page(Record.read(fleet, None)), encoding="utf-8")
    browser_page.goto(file.as_uri())
    assert browser_page.get_by_text("The fleet has no history to plot.").is_visible()
