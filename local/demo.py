"""`make demo`: the whole stack on this machine, and the first reading's trace as a tree."""

import argparse
import json
import os
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TypeVar

import httpx
from rich.console import Console
from rich.live import Live

from local.commands import CommandError, run
from local.connected import missing_step
from local.processes import ProcessError
from local.report import Figures, figures_table, missing_context_table, trace_tree
from local.scout import Scout, Span
from local.stack import COLLECTOR, Stack
from local.terminal import in_terminal

PRODUCER = "mqtt-trace-producer"
CONSUMER = "mqtt-trace-consumer"

_INTERVAL_S = 0.5
_LEGACY_MESSAGES = 2

_T = TypeVar("_T")

_HELP = """\
Starts Mosquitto, scout-sim, the OpenTelemetry Collector (when otelcol-contrib is on PATH), echo, consumer and producer
as processes, prints the first connected trace as a tree, then how many readings were published, processed and
connected. In a terminal it goes on until Ctrl-C. Otherwise it stops after READINGS readings (environment variable,
default 10) and exits with 1 if the trace of any of them was not connected.
"""


class NotConnectedError(RuntimeError):
    """A reading has no connected trace; the message says which and what it lacks."""


def main(arguments: Sequence[str]) -> int:
    """Run the demo; returns the exit code."""
    argparse.ArgumentParser(
        prog="make demo", description=_HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args(arguments)
    try:
        readings = readings_from(os.environ)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    stay = in_terminal()
    console = Console(highlight=False) if stay else Console(highlight=False, force_terminal=False, width=140)
    stack = Stack(interval_s=_INTERVAL_S, on_start=lambda name: console.print(f"starting {name}"))
    if not stack.has_collector:
        console.print(f"no {COLLECTOR} on PATH: the services export straight to scout-sim")
    try:
        Demo(stack, console, readings=readings, stay=stay).run()
    except (ProcessError, NotConnectedError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    console.print("stopped")
    return 0


def readings_from(env: Mapping[str, str]) -> int:
    """Return how many readings to wait for.

    Raises:
        ValueError: READINGS is not a number from 1 to 500.
    """
    value = env.get("READINGS", "10")
    if not (value.isascii() and value.isdigit() and 1 <= int(value) <= 500):  # noqa: PLR2004 - named in the message
        raise ValueError(f"READINGS must be a number from 1 to 500, not {value!r}")
    return int(value)


class Demo:
    """One run of a stack, and the traces that it has produced so far.

    Args:
        stack: What to start.
        console: Where to show it.
        readings: How many traces have to be connected unless it is to stay.
        stay: Whether it goes on until Ctrl-C.
        patience_s: How long nothing may come of what it waits for.
    """

    def __init__(
        self, stack: Stack, console: Console, *, readings: int, stay: bool = False, patience_s: float = 30
    ) -> None:
        self._stack = stack
        self._scout = Scout(stack.scout_url)
        self._console = console
        self._readings = readings
        self._stay = stay
        self._patience_s = patience_s
        self._lacking: dict[str, str | None] = {}

    def run(self) -> None:
        """Start the stack, show traces and counts, and stop it.

        Raises:
            ProcessError: a part did not start, or ended by itself.
            NotConnectedError: a trace is not what it has to be.
        """
        with self._stack, self._scout:
            send_without_context(self._stack)
            self._show_first_trace()
            self._show_missing_context()
            if self._stay:
                self._show_live()
            else:
                self._show_result()

    def _show_first_trace(self) -> None:
        trace_id, spans = self._wait(self._first_connected, "no reading has a connected trace")
        self._console.print()
        self._console.print(trace_tree(trace_id, spans, self._console.width))
        self._console.print(f"\nits page, while this runs: {self._stack.scout_url}/traces/{trace_id}")

    def _show_missing_context(self) -> None:
        found = self._wait(
            self._missing_context,
            "two messages without context were sent, but mqtt.missing_context=true does not find them",
        )
        self._console.print("\none message was sent without context, one with a malformed one")
        self._console.print(missing_context_table(found))

    def _show_live(self) -> None:
        self._console.print(f"\nall traces: {self._stack.scout_url}/   Ctrl-C stops")
        live = Live(console=self._console)
        try:
            with live:
                while True:
                    self._stack.check()
                    with suppress(httpx.HTTPError):  # if scout-sim has ended, the next check raises
                        live.update(figures_table(self._figures()))
                    time.sleep(1)
        except KeyboardInterrupt:
            live.stop()  # Ctrl-C may have come while it started
            self._console.print("stopping")

    def _show_result(self) -> None:
        self._wait(lambda: self._seen() >= self._readings, f"fewer than {self._readings} readings were traced")
        self._stack.stop("producer")
        self._wait(lambda: self._seen() == self._connected(), "a reading was not processed")
        figures = self._wait(self._complete_figures, "a published reading has no connected trace")
        self._console.print(figures_table(figures))

    def _seen(self) -> int:
        for trace_id in self._scout.trace_ids(service=PRODUCER, limit=1000):
            if self._lacking.get(trace_id, "") is not None:
                self._lacking[trace_id] = missing_step(self._scout.spans(trace_id))
        return len(self._lacking)

    def _connected(self) -> int:
        self._seen()
        return sum(lacking is None for lacking in self._lacking.values())

    def _first_connected(self) -> tuple[str, list[Span]] | None:
        self._seen()
        for trace_id, lacking in self._lacking.items():
            if lacking is None:
                return trace_id, self._scout.spans(trace_id)
        return None

    def _missing_context(self) -> list[tuple[str, Span]] | None:
        found = [
            (trace_id, span)
            for trace_id in self._scout.trace_ids(attribute="mqtt.missing_context=true")
            for span in self._scout.spans(trace_id)
            if span.attributes.get("mqtt.missing_context")
        ]
        return found if len(found) >= _LEGACY_MESSAGES else None

    def _figures(self) -> Figures:
        return Figures(
            published=self._scout.counter("iot.readings.published", PRODUCER),
            processed=self._scout.counter("iot.readings.processed", CONSUMER),
            connected=self._connected(),
            missing_context=self._scout.counter("mqtt.client.missing_contexts", CONSUMER),
            dead_lettered=self._scout.counter("iot.readings.dead_lettered", CONSUMER),
        )

    def _complete_figures(self) -> Figures | None:
        figures = self._figures()
        complete = (
            figures.published == figures.connected
            and figures.processed >= figures.connected + _LEGACY_MESSAGES
            and figures.missing_context >= _LEGACY_MESSAGES
        )
        return figures if complete else None

    def _wait(self, condition: Callable[[], _T | None], otherwise: str) -> _T:
        """Return the condition's result as soon as it is true."""
        deadline = time.monotonic() + self._patience_s + self._readings * self._stack.interval_s
        with self._console.status("waiting for traces"):
            while True:
                with suppress(httpx.HTTPError):  # if scout-sim has ended, the check raises
                    if result := condition():
                        return result
                self._stack.check()
                if time.monotonic() > deadline:
                    raise NotConnectedError(f"{otherwise}{self._first_lacking()} (logs: {self._stack.folder})")
                time.sleep(0.2)

    def _first_lacking(self) -> str:
        lacking = [f": trace {trace_id} is not connected: {why}" for trace_id, why in self._lacking.items() if why]
        return lacking[0] if lacking else ""


def send_without_context(stack: Stack) -> None:
    """Publish as a legacy sensor would: one reading without context, one with a malformed traceparent.

    Raises:
        ProcessError: it cannot be published.
    """
    address = ["-h", stack.mosquitto.host, "-p", str(stack.mosquitto.port)]
    for properties in ([], ["-D", "PUBLISH", "user-property", "traceparent", "00-legacy-gateway-01"]):
        reading = {"device_id": "legacy-001", "reading": 21.5, "message_id": str(uuid.uuid4()), "ts": time.time()}
        message = ["-V", "5", "-q", "1", "-t", "sensors/legacy-001/reading", "-m", json.dumps(reading)]
        try:
            run("mosquitto_pub", *address, *message, *properties, timeout_s=20)
        except CommandError as error:
            stack.check()
            raise ProcessError(str(error)) from error
