"""How tests wait for what other threads, tasks and processes bring about: they poll a condition up to a deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

DEADLINE_S = 60.0
"""A loaded machine keeps it: it decides how long a test takes to fail, not how long it takes to pass."""

_EVERY_S = 0.02


def poll(condition: Callable[[], T], seconds: float, every_s: float = _EVERY_S) -> T:
    """Call the condition until its result is true or the time is over, and return the last result."""
    deadline = time.monotonic() + seconds
    while not (result := condition()) and time.monotonic() < deadline:
        time.sleep(every_s)
    return result


def until(condition: Callable[[], T | None], what: str, seconds: float = DEADLINE_S, *, every_s: float = _EVERY_S) -> T:
    """Return the result of the condition, once it is true.

    Raises:
        AssertionError: the time is over; the message names `what`.
    """
    if result := poll(condition, seconds, every_s):
        return result
    raise AssertionError(_too_late(what, seconds))


async def until_async(condition: Callable[[], T | None], what: str, seconds: float = DEADLINE_S) -> T:
    """Return the result of the condition, once it is true; other tasks run meanwhile.

    Raises:
        AssertionError: the time is over; the message names `what`.
    """
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        if time.monotonic() >= deadline:
            raise AssertionError(_too_late(what, seconds))
        await asyncio.sleep(_EVERY_S)
    return result


def _too_late(what: str, seconds: float) -> str:
    return f"not within {seconds:g} s: {what}"
