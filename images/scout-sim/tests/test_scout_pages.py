"""The pages: their content, and that telemetry never becomes markup."""

import re
from collections.abc import Callable
from html import unescape
from urllib.parse import urljoin

import httpx
import pytest
from scout_harness import ScoutSim, attributes, logs, span, trace_id, traces
from scout_sim.waterfall import MAX_ROWS

HOSTILE = """<script>alert(1)</script>"'><img src=x onerror=alert(2)>{{ 7 * 7 }}"""
ELSEWHERE = re.compile(r"""(?:src|href|action|url\()\s*=?\s*["']?(?:https?:)?//""")


def page(scout: ScoutSim, path: str, status: int = 200, **parameters: str) -> str:
    """A page's markup, after a check of its headers."""
    answer = scout.client.get(path, params=parameters)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert_nothing_else_is_loaded(answer)
    return answer.text


def assert_nothing_else_is_loaded(answer: httpx.Response) -> None:
    """The policy forbids scripts and other hosts, and the page uses neither."""
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'")
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert not ELSEWHERE.search(answer.text)
    assert "<script" not in answer.text
    assert " style=" not in answer.text


def test_hostile_values_are_escaped(scout: ScoutSim) -> None:
    """Names, attributes, resources, events, links, logs and statuses are text on every page."""
    trace = trace_id()
    hostile = attributes({HOSTILE: HOSTILE})
    evil = span(
        trace,
        HOSTILE,
        at_ms=120_000,  # the list shows the newest traces of all tests
        attributes=hostile,
        status={"code": 2, "message": HOSTILE},
        links=[{"traceId": "ab", "spanId": "", "attributes": hostile}],
        events=[{"name": HOSTILE, "timeUnixNano": "1", "attributes": hostile}],
    )
    request = traces(evil, service_name=HOSTILE)
    request["resourceSpans"][0]["scopeSpans"][0]["scope"]["name"] = HOSTILE
    assert scout.send(request) == {}
    record = {"body": {"stringValue": HOSTILE}, "severityText": HOSTILE, "traceId": trace, "spanId": evil["spanId"]}
    scout.send(logs({**record, "timeUnixNano": "1"}), "logs")
    shown = page(scout, f"/traces/{trace}")
    listed = page(scout, "/")
    for markup, least in ((shown, 12), (listed, 2)):
        assert unescape(markup).count(HOSTILE) >= least
        assert "<img src=x" not in markup
        assert "{{ 7 * 7 }}" in markup


def test_the_waterfall_shows_spans_and_one_in_detail(scout: ScoutSim) -> None:
    """A trace's page shows each span, with attributes, resource, links, events, status and logs of the selected one."""
    trace, other = trace_id(), trace_id()
    root = span(trace, "publish p/1", kind=4, took_ms=4, attributes=attributes({"mqtt.qos": 1}))
    child = span(
        trace,
        "process p/1",
        kind=5,
        at_ms=1,
        parentSpanId=root["spanId"],
        attributes=attributes({"messaging.system": "mqtt"}),
        links=[{"traceId": other, "spanId": "cd" * 8}],
        events=[{"name": "retried", "timeUnixNano": root["startTimeUnixNano"]}],
        status={"code": 2, "message": "echo is away"},
    )
    scout.send_spans(root, service_name="p-producer", device_id="sensor-p")
    scout.send_spans(child, service_name="p-consumer", site_id="site-p")
    inside = {"traceId": trace, "spanId": child["spanId"], "timeUnixNano": child["startTimeUnixNano"]}
    scout.send(logs({"body": {"stringValue": "processed message on p/1"}, **inside}), "logs")

    at_first = page(scout, f"/traces/{trace}")
    assert at_first.count('class="row"') == 2
    for text in ("p-producer", "p-consumer", "PRODUCER", "CONSUMER", "connected", "mqtt.qos", "sensor-p"):
        assert text in at_first
    assert "site-p" not in at_first
    selected = page(scout, f"/traces/{trace}", span=child["spanId"])
    for text in ("messaging.system", "site-p", "retried", "status ERROR: echo is away", "processed message on p/1"):
        assert text in selected
    assert f'href="{other}?span={"cd" * 8}"' in selected
    assert "sensor-p" not in selected


def test_a_span_beyond_the_rows_is_shown_in_detail(scout: ScoutSim) -> None:
    """The selected span is found among all spans of the trace, even if the page does not list it."""
    trace = trace_id()
    spans = [span(trace, f"work {number}", at_ms=number, took_ms=7) for number in range(MAX_ROWS + 1)]
    scout.send_spans(*spans, service_name="p-many")
    markup = page(scout, f"/traces/{trace}", span=spans[-1]["spanId"].upper())
    _, details = markup.split('aria-label="Selected span"')
    assert f"<h2>work {MAX_ROWS}</h2>" in details
    assert "<span>p-many</span><span>INTERNAL</span><span>7 ms</span>" in details
    assert markup.count('class="row"') == MAX_ROWS
    assert 'aria-current="true"' not in markup


def test_an_unknown_span_is_reported(scout: ScoutSim) -> None:
    """The page of a trace reports an unknown span and shows no other one in its place."""
    trace = trace_id()
    scout.send_spans(span(trace))
    for unknown in ("ab" * 8, HOSTILE):
        markup = page(scout, f"/traces/{trace}", span=unknown)
        assert f"Span {unknown} is not in this trace" in unescape(markup)
        assert markup.count('class="row"') == 1
        assert "Selected span" not in markup


@pytest.mark.parametrize(
    ("reason", "explained"),
    [
        ("absent", "the message carried no traceparent"),
        ("malformed", "is not valid W3C Trace Context"),
        ("duplicate", "more than one traceparent"),
        ("mqtt311", "the consumer itself uses MQTT 3.1.1"),
        ("other", "no usable trace context"),
    ],
)
def test_missing_context_is_explained(scout: ScoutSim, reason: str, explained: str) -> None:
    """The page of a trace that began without context explains the reason."""
    trace = trace_id()
    missing = attributes({"mqtt.missing_context": True, "mqtt.missing_context_reason": reason})
    scout.send_spans(span(trace, "process m/1", attributes=missing))
    markup = page(scout, f"/traces/{trace}")
    assert f"Missing context: {reason}" in markup
    assert "process m/1 started a new trace: " in markup
    assert explained in markup
    assert ">connected<" not in markup


def test_a_trace_that_is_not_connected_says_why(scout: ScoutSim) -> None:
    """The page of a broken trace names missing parents, several roots, and cycles."""
    first, second = "a" * 16, "b" * 16
    broken: dict[str, list[tuple[str, str]]] = {
        "1 span has a parent that is missing (bbbbbbbbbbbbbbbb)": [(first, second)],
        "2 spans are roots: work.": [(first, ""), (second, "")],
        "No span is a root. 2 spans are their own ancestors.": [(first, second), (second, first)],
    }
    for why, spans in broken.items():
        trace = trace_id()
        scout.send_spans(*[span(trace, spanId=own, parentSpanId=parent) for own, parent in spans])
        markup = page(scout, f"/traces/{trace}")
        assert "Not connected" in markup
        assert why in unescape(markup)


def test_the_list_shows_the_newest_traces(scout: ScoutSim) -> None:
    """A trace that has just arrived is on the list, with a link to its page and the names of its services."""
    trace = trace_id()
    scout.send_spans(span(trace, "listed", at_ms=60_000), service_name="p-list")
    markup = page(scout, "/")
    assert f'<a class="name" href="traces/{trace}">listed</a>' in markup
    assert "p-list" in markup


def test_an_empty_page_says_what_to_do(scout: ScoutSim, make_scout: Callable[..., ScoutSim]) -> None:
    """An empty list explains how to send a trace; the page of an unknown trace explains that spans may still come."""
    assert "Unknown trace" in page(scout, f"/traces/{trace_id()}", 404)
    empty = make_scout()
    welcome = page(empty, "/")
    assert "No traces yet" in welcome
    assert f"endpoint: {empty.url}/demo/otlp" in welcome
    assert f"token_url: {empty.url}/realms/demo/protocol/openid-connect/token" in welcome
    assert "audience: b14collector" in welcome
    assert "scout-sim-secret" not in welcome


def test_every_link_stays_below_the_path_of_a_proxy(scout: ScoutSim) -> None:
    """A proxy that removes `/observe/scout` before it forwards serves the pages, their links and their style."""
    public = "https://iot.example.com/observe/scout/"
    trace = trace_id()
    scout.send_spans(span(trace, links=[{"traceId": trace, "spanId": "cd" * 8}]))
    for below, status in (("", 200), (f"traces/{trace}", 200), (f"traces/{trace_id()}", 404)):
        markup = page(scout, f"/{below}", status)
        links = {urljoin(f"{public}{below}", link) for link in re.findall(r'(?:href|src)="([^"]+)"', markup)}
        assert f"{public}static/style.css" in links
        assert public in links
        assert [link for link in links if not link.startswith(public)] == []
        gone = [link for link in links if scout.client.get(f"/{link.removeprefix(public)}").status_code != 200]
        assert gone == []


def test_the_shown_addresses_are_those_of_the_proxy(make_scout: Callable[..., ScoutSim]) -> None:
    """With the scheme, the host and the path that clients use."""
    forwarded = {"Host": "iot.example.com", "X-Forwarded-Proto": "https", "X-Forwarded-Prefix": "/observe/scout/"}
    welcome = make_scout().client.get("/", headers=forwarded).text
    assert "endpoint: https://iot.example.com/observe/scout/demo/otlp" in welcome
    assert "token_url: https://iot.example.com/observe/scout/realms/demo/protocol/openid-connect/token" in welcome


def test_the_style_sheet_loads_nothing(scout: ScoutSim) -> None:
    """The style sheet and the icon come from scout-sim and load nothing from other hosts."""
    for path, media_type in (("/static/style.css", "text/css"), ("/static/icon.svg", "image/svg+xml")):
        answer = scout.client.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(media_type)
        assert "url(" not in answer.text
        assert "@import" not in answer.text
