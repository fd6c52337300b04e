"""Delays between two tries to publish a reading without subscribers, on a loop whose timers fire at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import TypeVarTuple

import pytest
from mqtt_trace_producer.faults import Fault
from mqtt_trace_producer.retries import OutgoingReading, Retries
from mqtt_trace_producer.sensor import Reading

from local.waiting import DEADLINE_S

Arguments = TypeVarTuple("Arguments")

FULL_DELAYS_S = [0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0]


class EagerLoop(asyncio.SelectorEventLoop):
    """Fires each timer at once, and records its delay."""

    def __init__(self) -> None:
        super().__init__()
        self.delays: list[float] = []

    def call_later(
        self, delay: float, callback: Callable[[*Arguments], object], *args: *Arguments, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Record the delay, and call the callback in the next iteration."""
        self.delays.append(delay)
        return super().call_later(0, callback, *args, context=context)


def make_outgoing() -> OutgoingReading:
    """A reading without subscribers."""
    return OutgoingReading(Reading("sensor-001", 21.5, "id", 0.0), Fault.NONE)


def record_delays(tries: int, *, received_after: int | None = None) -> list[float]:
    """Record the delay before each try of a reading; after try `received_after`, another reading is received."""
    loop = EagerLoop()

    async def run() -> None:
        done = asyncio.Event()
        published = 0

        def publish(readings: list[OutgoingReading]) -> None:
            nonlocal published
            published += 1
            if published == tries:
                done.set()
                return
            for reading in readings:
                retries.add(reading)
            if published == received_after:
                retries.clear()
                retries.publish_all()
                retries.add(make_outgoing())

        retries = Retries(3600, 100, publish, lambda _: None)
        retries.add(make_outgoing())
        async with asyncio.timeout_at(loop.time() + DEADLINE_S):
            await done.wait()

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(run())
    return loop.delays


def test_delays_double_up_to_a_limit_and_each_is_cut_by_up_to_a_half() -> None:
    """From 0.5 s up to 5 s, no delay is longer than its step or shorter than half of it."""
    found = record_delays(len(FULL_DELAYS_S))
    assert len(found) == len(FULL_DELAYS_S)
    for delay, full in zip(found, FULL_DELAYS_S, strict=True):
        assert full / 2 <= delay <= full


def test_devices_that_lose_their_subscriber_together_do_not_retry_together() -> None:
    """Of a hundred devices, no two wait equally long before the first try or before the fourth."""
    found = [record_delays(4) for _ in range(100)]
    assert len({first for first, *_ in found}) == 100
    assert len({last for *_, last in found}) == 100


@pytest.mark.parametrize("tries", [1, 3, 6])
def test_a_received_reading_makes_delays_short_again(tries: int) -> None:
    """The first delay after a reading was received is the shortest step."""
    assert 0.25 <= record_delays(tries + 2, received_after=tries)[tries + 1] <= 0.5
