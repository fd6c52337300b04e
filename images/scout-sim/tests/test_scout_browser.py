"""The pages in a real browser, headless Chromium."""

import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright
from scout_harness import ScoutSim, attributes, span, trace_id

from local.needed import found, needs

pytestmark = needs("chromium")


@pytest.fixture(scope="module")
def browser_page() -> Iterator[Page]:
    """A page of 1280x800 without scripts, as the trace pages promise to need none."""
    driver = subprocess.run([Path(sysconfig.get_path("scripts")) / "playwright", "--version"], check=False)
    if driver.returncode:
        pytest.skip("no libatomic.so.1, which Playwright needs: install libatomic1")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found("chromium"), args=["--no-sandbox", "--disable-gpu", "--disable-quic"]
        )
        context = browser.new_context(viewport={"width": 1280, "height": 800}, java_script_enabled=False)
        yield context.new_page()
        browser.close()


@pytest.fixture(scope="module")
def own_scout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScoutSim]:
    """A scout-sim without traces of other tests: the list shows only the newest."""
    with ScoutSim(tmp_path_factory.mktemp("scout") / "log", require_token=False) as running:
        yield running


def send_reading(scout: ScoutSim) -> str:
    """Send the four spans of a reading; returns the id of their trace."""
    trace = trace_id()
    topic = "sensors/sensor-001/reading"
    message = attributes({f"messaging.attribute.{number}": f"value {number}" for number in range(16)})
    publish = span(trace, f"publish {topic}", kind=4, took_ms=4, attributes=message)
    process = span(trace, f"process {topic}", kind=5, at_ms=2, took_ms=8, parentSpanId=publish["spanId"])
    post = span(trace, "POST", kind=3, at_ms=3, took_ms=6, parentSpanId=process["spanId"])
    echo = span(trace, "POST /echo", kind=2, at_ms=4, took_ms=4, parentSpanId=post["spanId"])
    scout.send_spans(publish, service_name="b-producer")
    scout.send_spans(process, post, service_name="b-consumer")
    scout.send_spans(echo, service_name="b-echo")
    return trace


def test_from_the_list_to_the_waterfall(own_scout: ScoutSim, browser_page: Page) -> None:
    """A person opens a trace from the list and selects a span, all without scripts."""
    trace = send_reading(own_scout)
    page = browser_page
    page.goto(f"{own_scout.url}/")
    page.get_by_role("link", name="publish sensors/sensor-001/reading").first.click()
    assert page.url == f"{own_scout.url}/traces/{trace}"
    rows = page.locator(".row")
    assert rows.locator(".name").all_inner_texts() == [
        "publish sensors/sensor-001/reading",
        "process sensors/sensor-001/reading",
        "POST",
        "POST /echo",
    ]
    details = page.get_by_label("Selected span")
    assert details.get_by_text("messaging.attribute.15").is_visible()
    rows.nth(3).click()
    assert details.get_by_role("heading", name="POST /echo").is_visible()
    assert details.get_by_text("status UNSET").is_visible()


def test_the_waterfall_fits_one_screen(own_scout: ScoutSim, browser_page: Page) -> None:
    """Four spans and the details of one are within 1280x800, nested to the right and drawn in time."""
    page = browser_page
    page.goto(f"{own_scout.url}/traces/{send_reading(own_scout)}")
    dots = [dot.bounding_box() for dot in page.locator(".row .dot").all()]
    bars = [bar.bounding_box() for bar in page.locator(".row rect").all()]
    details = page.get_by_label("Selected span").bounding_box()
    assert details is not None
    assert details["y"] + details["height"] <= 800
    lefts = [box["x"] for box in dots if box]
    assert lefts == sorted(set(lefts))
    assert len(lefts) == 4
    starts = [box["x"] for box in bars if box]
    assert starts == sorted(set(starts))
    assert all(box["y"] + box["height"] < details["y"] and box["x"] + box["width"] <= 1280 for box in bars if box)
    assert page.locator("html").evaluate("page => page.scrollWidth") <= 1280


def test_a_browser_loads_nothing_from_elsewhere(own_scout: ScoutSim, browser_page: Page) -> None:
    """Every request of the pages goes to scout-sim, and the browser logs no message."""
    page = browser_page
    requested: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(f"{own_scout.url}/")
    page.goto(f"{own_scout.url}/traces/{send_reading(own_scout)}")
    assert f"{own_scout.url}/static/style.css" in requested
    assert all(url.startswith(f"{own_scout.url}/") for url in requested)
    assert complaints == []
