"""The gate: pauses while echo is away, lets one call at a time find out, and opens for all."""

from __future__ import annotations

import asyncio
import logging

import pytest
from mqtt_trace_consumer.echo import EchoRefusedError, EchoUnavailableError
from mqtt_trace_consumer.gate import Gate

from mqtt_trace.aio import Backoff

QUICK = Backoff(0.001, 0.002)


class FlakyEcho:
    """Fails with the errors that it is given, then accepts; notes how many calls were under way at once."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0
        self.under_way = 0
        self.most = 0

    async def post(self) -> None:
        """One call."""
        self.calls += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        if self.errors:
            raise self.errors.pop(0)


def away() -> EchoUnavailableError:
    """An echo that cannot be reached."""
    return EchoUnavailableError("connection refused")


def test_all_calls_end_when_echo_is_back(caplog: pytest.LogCaptureFixture) -> None:
    """However many calls fail at first, all of them are made in the end; two lines tell of it."""
    caplog.set_level(logging.INFO)

    async def scenario() -> None:
        gate = Gate(QUICK)
        echo = FlakyEcho(*(away() for _ in range(10)))
        await asyncio.gather(*(gate.call(echo.post) for _ in range(4)))
        assert gate.is_open
        assert echo.calls == 14

    asyncio.run(scenario())
    assert [record.message.split(":")[0] for record in caplog.records] == ["paused", "resumed"]
    assert "connection refused" in caplog.records[0].message


def test_one_call_at_a_time_behind_a_closed_gate() -> None:
    """Once it is closed, echo sees one try at a time, whoever waits."""

    async def scenario() -> None:
        gate = Gate(QUICK)
        echo = FlakyEcho(*(away() for _ in range(10)))
        first = asyncio.create_task(gate.call(echo.post))
        await gate.wait_closed()
        waiting = [asyncio.create_task(gate.call(echo.post)) for _ in range(5)]
        while echo.errors:
            assert echo.most == 1
            await asyncio.sleep(0)
        await asyncio.gather(first, *waiting)

    asyncio.run(scenario())


def test_a_refusal_opens_the_gate_and_reaches_the_caller() -> None:
    """An echo that refuses a reading is there."""

    async def scenario() -> None:
        gate = Gate(QUICK)
        echo = FlakyEcho(away(), EchoRefusedError("echo answered 500"))
        with pytest.raises(EchoRefusedError):
            await gate.call(echo.post)
        assert gate.is_open

    asyncio.run(scenario())


def test_other_errors_leave_the_gate_closed_for_the_next() -> None:
    """A caller that gives up says nothing about echo, and does not cost the others a delay."""

    async def scenario() -> None:
        gate = Gate(QUICK)
        echo = FlakyEcho(away(), away(), KeyError("stale"))
        with pytest.raises(KeyError):
            await gate.call(echo.post)
        assert not gate.is_open
        await gate.call(echo.post)
        assert gate.is_open

    asyncio.run(scenario())


async def deserted_gate() -> tuple[Gate, FlakyEcho]:
    """A closed gate behind which nobody is left, and an echo that is back."""
    gate = Gate(QUICK)
    echo = FlakyEcho(away(), KeyError("stale"))
    with pytest.raises(KeyError):
        await gate.call(echo.post)
    return gate, echo


def test_somebody_finds_out_when_whoever_tried_has_left() -> None:
    """When all that wait behind a closed gate have given up, one more is let through, and the others after it."""

    async def scenario() -> None:
        gate, echo = await deserted_gate()
        passed: list[int] = []

        async def come(number: int) -> None:
            await gate.wait_passable()
            passed.append(number)
            assert gate.is_open or len(passed) == 1
            await gate.call(echo.post)

        await asyncio.wait_for(asyncio.gather(*(come(number) for number in range(3))), 10)
        assert passed == [0, 1, 2]
        assert gate.is_open

    asyncio.run(scenario())


def test_who_passes_without_a_call_lets_the_next_one_through() -> None:
    """It may have nothing to ask echo for."""

    async def scenario() -> None:
        gate, _ = await deserted_gate()
        await asyncio.wait_for(gate.wait_passable(), 10)
        await asyncio.wait_for(gate.wait_passable(), 10)

    asyncio.run(scenario())


def test_one_bad_reading_does_not_keep_the_others_waiting() -> None:
    """When one payload makes echo fail each time, the calls behind it are tried in between."""

    async def scenario() -> None:
        gate = Gate(QUICK)

        async def never() -> None:
            raise away()

        bad = asyncio.create_task(gate.call(never))
        await asyncio.gather(*(gate.call(FlakyEcho(away()).post) for _ in range(5)))
        bad.cancel()
        with pytest.raises(asyncio.CancelledError):
            await bad

    asyncio.run(scenario())


def test_a_failure_from_before_the_last_pause_does_not_close_the_gate() -> None:
    """A call that began before echo came back says nothing about echo as it is now."""

    async def scenario() -> None:
        gate = Gate(QUICK)
        release = asyncio.Event()
        results: list[Exception | None] = [away(), None]

        async def slow() -> None:
            result = results.pop(0)
            if result is not None:
                await release.wait()
                raise result

        late = asyncio.create_task(gate.call(slow))
        await asyncio.sleep(0)
        await gate.call(FlakyEcho(away()).post)
        release.set()
        await asyncio.sleep(0)
        assert gate.is_open
        await late

    asyncio.run(scenario())


def test_retry_after_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Echo is left alone for as long as it asked, within a bound."""
    slept: list[float] = []
    sleep = asyncio.sleep

    async def no_sleep(delay: float) -> None:
        slept.append(delay)
        await sleep(0)

    async def scenario() -> None:
        gate = Gate(QUICK)
        asked = [EchoUnavailableError("429", retry_after=30.0), EchoUnavailableError("429", retry_after=86_400.0)]
        results: list[Exception] = [*asked]

        async def post() -> None:
            if results:
                raise results.pop(0)

        monkeypatch.setattr("mqtt_trace_consumer.gate.asyncio.sleep", no_sleep)
        await gate.call(post)

    asyncio.run(scenario())
    assert [round(delay) for delay in slept] == [30, 60]
