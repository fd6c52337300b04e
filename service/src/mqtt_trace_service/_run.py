"""Runs an asyncio program and sets its exit code."""

import asyncio
import gc
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType

from mqtt_trace._errors import ConfigurationError
from mqtt_trace_service._load import exit_with

_EXIT_BY_SIGNAL = 128

_COLLECT_AFTER = 10_000
"""New objects; the default is 700."""


def run(main: Callable[[asyncio.Event], Coroutine[None, None, None]], program: str) -> None:
    """Run `main(stop)` until it returns; SIGTERM and SIGINT set `stop`, a second one ends the process at once.

    Returns normally (exit code 0) when `main` does.

    Raises:
        SystemExit: 2 after one line on stderr when `main` raises a `mqtt_trace.ConfigurationError`.
    """
    _collect_rarely()
    wrong: list[ConfigurationError] = []
    try:
        asyncio.run(_until_stopped(main))
    except* ConfigurationError as errors:  # a TaskGroup wraps its exceptions
        wrong.extend(_leaves(errors))
    if wrong:
        exit_with(program, *wrong)


def _collect_rarely() -> None:
    """Tune the garbage collector for a service: modules stay, and few other objects are in cycles.

    By default it repeatedly traverses the modules and the telemetry that waits for its export, which takes up to a
    twentieth of a message's CPU time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, *gc.get_threshold()[1:])


async def _until_stopped(main: Callable[[asyncio.Event], Coroutine[None, None, None]]) -> None:
    stop = asyncio.Event()
    with _signals_set(stop, asyncio.get_running_loop()):
        await main(stop)


@contextmanager
def _signals_set(stop: asyncio.Event, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    stopping = False

    def on_signal(number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        if stopping:
            os._exit(_EXIT_BY_SIGNAL + number)
        stopping = True
        loop.call_soon_threadsafe(stop.set)

    # Not loop.add_signal_handler: the second signal must work even while the loop is blocked.
    previous = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _leaves(group: BaseExceptionGroup[ConfigurationError]) -> Iterator[ConfigurationError]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
