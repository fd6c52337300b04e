"""Readings outlive restarts of the broker: at least once, and connected."""

import json
import os
from collections.abc import Callable, Iterator

import httpx

from local.stack import Stack
from local.waiting import DEADLINE_S, until

# The short form by default; `SENSORS=200 SECONDS=60` is the long one.
SENSORS = int(os.environ.get("SENSORS", "50"))
SECONDS = float(os.environ.get("SECONDS", "12"))


def published(stack: Stack) -> int:
    """Return the producer's count of acknowledged readings."""
    answer = httpx.get(stack.producer_url, trust_env=False).json()
    return int(answer["published"])


def traces_logged(stack: Stack, part: str, beginning: str) -> Iterator[str]:
    """Yield the trace ids of a part's log lines whose message begins like this."""
    for line in stack.log(part).splitlines():
        entry = json.loads(line)
        if entry["message"].startswith(beginning):
            yield entry["trace_id"]


def connected_traces(stack: Stack) -> set[str]:
    """Return the traces that have spans of all three services, each with its parent."""
    query = {"service": "mqtt-trace-echo", "limit": "100000"}
    answer = httpx.get(f"{stack.scout_url}/api/traces", params=query, timeout=60, trust_env=False).json()
    return {
        trace["trace_id"]
        for trace in answer["traces"]
        if trace["connected"]
        and set(trace["services"]) == {"mqtt-trace-producer", "mqtt-trace-consumer", "mqtt-trace-echo"}
    }


def test_no_reading_is_lost_over_two_restarts(make_stack: Callable[..., Stack]) -> None:
    """Every reading that was published is processed, and the trace of every processed reading is connected."""
    stack = make_stack(devices=SENSORS, interval_s=1.0)
    for part in (1, 2, 3):
        expected = SENSORS * SECONDS * part / 3
        until(lambda expected=expected: published(stack) >= expected, "readings", DEADLINE_S + 2 * SECONDS)  # type: ignore[misc] # mypy does not infer a lambda with a default
        if part < 3:
            stack.restart("mosquitto")
    stack.stop("producer")
    sent = set(traces_logged(stack, "producer", "published reading"))
    assert len(sent) >= SENSORS * SECONDS
    until(lambda: sent <= set(traces_logged(stack, "consumer", "processed message")), "every reading is processed")
    processed = set(traces_logged(stack, "consumer", "processed message"))
    until(lambda: processed <= connected_traces(stack), "every trace is connected", every_s=0.2)
