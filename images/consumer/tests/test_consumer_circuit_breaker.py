"""The circuit breaker: opens while echo is away, makes one trial call at a time, and closes for all."""

from __future__ import annotations

import asyncio
import logging

import pytest
from mqtt_trace_consumer.circuit_breaker import CircuitBreaker
from mqtt_trace_consumer.echo import EchoRefusedError, EchoUnavailableError

from mqtt_trace.aio import Backoff

QUICK = Backoff(0.001, 0.002)


class FlakyEcho:
    """Fails with the given errors, then accepts; counts concurrent calls."""

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
    """Every call succeeds once echo is back, and the log has one line for the pause and one for its end."""
    caplog.set_level(logging.INFO)

    async def scenario() -> None:
        breaker = CircuitBreaker(QUICK)
        echo = FlakyEcho(*(away() for _ in range(10)))
        await asyncio.gather(*(breaker.call(echo.post) for _ in range(4)))
        assert breaker.is_closed
        assert echo.calls == 14

    asyncio.run(scenario())
    assert [record.message.split(":")[0] for record in caplog.records] == ["paused", "resumed"]
    assert "connection refused" in caplog.records[0].message


def test_an_open_breaker_makes_one_trial_call_at_a_time() -> None:
    """While the breaker is open, echo receives one call at a time, whatever the number of waiting calls."""

    async def scenario() -> None:
        breaker = CircuitBreaker(QUICK)
        echo = FlakyEcho(*(away() for _ in range(10)))
        first = asyncio.create_task(breaker.call(echo.post))
        await breaker.wait_open()
        waiting = [asyncio.create_task(breaker.call(echo.post)) for _ in range(5)]
        while echo.errors:
            assert echo.most == 1
            await asyncio.sleep(0)
        await asyncio.gather(first, *waiting)

    asyncio.run(scenario())


def test_a_refusal_closes_the_breaker_and_reaches_the_caller() -> None:
    """An echo that refuses a reading is available."""

    async def scenario() -> None:
        breaker = CircuitBreaker(QUICK)
        echo = FlakyEcho(away(), EchoRefusedError("echo answered 500"))
        with pytest.raises(EchoRefusedError):
            await breaker.call(echo.post)
        assert breaker.is_closed

    asyncio.run(scenario())


def test_other_errors_leave_the_breaker_open() -> None:
    """A trial that fails for another reason than echo leaves the breaker open, without a delay for the next trial."""

    async def scenario() -> None:
        breaker = CircuitBreaker(QUICK)
        echo = FlakyEcho(away(), away(), KeyError("stale"))
        with pytest.raises(KeyError):
            await breaker.call(echo.post)
        assert not breaker.is_closed
        await breaker.call(echo.post)
        assert breaker.is_closed

    asyncio.run(scenario())


async def deserted_breaker() -> tuple[CircuitBreaker, FlakyEcho]:
    """An open breaker without waiting calls, and an echo that is back."""
    breaker = CircuitBreaker(QUICK)
    echo = FlakyEcho(away(), KeyError("stale"))
    with pytest.raises(KeyError):
        await breaker.call(echo.post)
    return breaker, echo


def test_an_open_breaker_without_waiting_calls_permits_one() -> None:
    """When every waiting call has given up, the next caller gets the trial, and the others follow it."""

    async def scenario() -> None:
        breaker, echo = await deserted_breaker()
        passed: list[int] = []

        async def come(number: int) -> None:
            await breaker.wait_for_permission()
            passed.append(number)
            assert breaker.is_closed or len(passed) == 1
            await breaker.call(echo.post)

        await asyncio.wait_for(asyncio.gather(*(come(number) for number in range(3))), 10)
        assert passed == [0, 1, 2]
        assert breaker.is_closed

    asyncio.run(scenario())


def test_a_caller_that_makes_no_call_leaves_the_permission() -> None:
    """A caller that got the permission and makes no call does not block the next one."""

    async def scenario() -> None:
        breaker, _ = await deserted_breaker()
        await asyncio.wait_for(breaker.wait_for_permission(), 10)
        await asyncio.wait_for(breaker.wait_for_permission(), 10)

    asyncio.run(scenario())


def test_one_bad_reading_does_not_block_the_others() -> None:
    """The calls behind a payload that always makes echo fail are tried between its attempts."""

    async def scenario() -> None:
        breaker = CircuitBreaker(QUICK)

        async def never() -> None:
            raise away()

        bad = asyncio.create_task(breaker.call(never))
        await asyncio.gather(*(breaker.call(FlakyEcho(away()).post) for _ in range(5)))
        bad.cancel()
        with pytest.raises(asyncio.CancelledError):
            await bad

    asyncio.run(scenario())


def test_a_failure_from_before_the_last_recovery_does_not_open_the_breaker() -> None:
    """The failure of a call that began before echo came back leaves the breaker closed."""

    async def scenario() -> None:
        breaker = CircuitBreaker(QUICK)
        release = asyncio.Event()
        results: list[Exception | None] = [away(), None]

        async def slow() -> None:
            result = results.pop(0)
            if result is not None:
                await release.wait()
                raise result

        late = asyncio.create_task(breaker.call(slow))
        await asyncio.sleep(0)
        await breaker.call(FlakyEcho(away()).post)
        release.set()
        await asyncio.sleep(0)
        assert breaker.is_closed
        await late

    asyncio.run(scenario())


def test_retry_after_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    """The breaker stays open for the time of `Retry-After`, up to a limit."""
    slept: list[float] = []
    sleep = asyncio.sleep

    async def no_sleep(delay: float) -> None:
        slept.append(delay)
        await sleep(0)

    async def scenario() -> None:
        breaker = CircuitBreaker(QUICK)
        asked = [EchoUnavailableError("429", retry_after=30.0), EchoUnavailableError("429", retry_after=86_400.0)]
        results: list[Exception] = [*asked]

        async def post() -> None:
            if results:
                raise results.pop(0)

        monkeypatch.setattr("mqtt_trace_consumer.circuit_breaker.asyncio.sleep", no_sleep)
        await breaker.call(post)

    asyncio.run(scenario())
    assert [round(delay) for delay in slept] == [30, 60]
