"""The workers: one reconcile per fleet at a time."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable

import pytest
from mqtt_trace_operator.reconcile import Outcome, Result
from mqtt_trace_operator.workers import Key, Workers

from local.waiting import until_async

DEMO, OTHER = Key("iot", "demo"), Key("iot", "other")


class Reconciles:
    """A reconcile with given outcomes that counts its calls.

    Attributes:
        seen: The fleets, in the order of their reconciles.
        outcomes: The outcomes of the next reconciles; the last one is repeated.
        released: Reconciles return while it is set.
    """

    def __init__(self, *outcomes: Outcome | Exception) -> None:
        self.seen: list[Key] = []
        self.running = 0
        self.most_at_once = 0
        self.outcomes = list(outcomes)
        self.released = asyncio.Event()
        self.released.set()

    async def __call__(self, key: Key) -> Result:
        """Reconcile."""
        self.seen.append(key)
        self.running += 1
        self.most_at_once = max(self.most_at_once, self.running)
        await self.released.wait()
        self.running -= 1
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return Result(outcome=outcome)


def run(test: Callable[[], Awaitable[None]]) -> None:
    """Run a test and cancel the workers that it leaves."""

    async def tested() -> None:
        await test()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    asyncio.run(tested())


async def ended(workers: Workers) -> None:
    """Wait until all workers have ended."""
    tasks = [task for task in asyncio.all_tasks() if task.get_name().startswith("fleet ")]
    await asyncio.wait_for(asyncio.gather(*tasks), 30)
    assert workers.fleets == 0


def test_events_during_a_reconcile_lead_to_one_more() -> None:
    """Events during a reconcile lead to exactly one more, after it."""

    async def test() -> None:
        reconciles = Reconciles(Outcome.DONE, Outcome.GONE)
        workers = Workers(reconciles)
        reconciles.released.clear()
        workers.enqueue(DEMO)
        await until_async(lambda: len(reconciles.seen) == 1, "a reconcile")
        for _ in range(100):
            workers.enqueue(DEMO)
        reconciles.released.set()
        await ended(workers)
        assert (reconciles.seen, reconciles.most_at_once) == ([DEMO, DEMO], 1)

    run(test)


def test_fleets_do_not_wait_for_each_other() -> None:
    """The reconcile of a fleet starts while that of another hangs."""

    async def test() -> None:
        reconciles = Reconciles(Outcome.GONE)
        workers = Workers(reconciles)
        reconciles.released.clear()
        workers.enqueue(DEMO)
        workers.enqueue(OTHER)
        await until_async(lambda: reconciles.running == 2, "two reconciles at once")
        assert workers.longest_s > 0
        reconciles.released.set()
        await ended(workers)
        assert workers.longest_s == 0
        assert workers.idle_s is not None

    run(test)


def test_an_unsettled_fleet_is_requeued() -> None:
    """A fleet is requeued without an event until it is settled."""

    async def test() -> None:
        reconciles = Reconciles(Outcome.REQUEUE, Outcome.REQUEUE, Outcome.DONE)
        workers = Workers(reconciles)
        workers.enqueue(DEMO)
        await until_async(lambda: len(reconciles.seen) == 3, "three reconciles")
        assert workers.fleets == 1

    run(test)


def test_a_settled_fleet_is_reconciled_when_its_scenario_goes_on() -> None:
    """A fleet that has named a time is reconciled then, without an event, and not before."""

    async def test() -> None:
        seen: list[float] = []

        async def reconcile(_key: Key) -> Result:
            seen.append(time.monotonic())
            return Result(outcome=Outcome.DONE, reconcile_after_s=0.6 if len(seen) == 1 else None)

        workers = Workers(reconcile)
        workers.enqueue(DEMO)
        await until_async(lambda: len(seen) == 2, "a second reconcile")
        assert seen[1] - seen[0] >= 0.6


def test_a_fleet_with_credentials_is_checked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A settled fleet is reconciled again without an event if nothing else reports a change."""
    monkeypatch.setattr("mqtt_trace_operator.workers._RECHECK_S", 0.05)

    async def test() -> None:
        reconciles = Reconciles(Outcome.RECHECK, Outcome.RECHECK, Outcome.DONE)
        workers = Workers(reconciles)
        workers.enqueue(DEMO)
        await until_async(lambda: len(reconciles.seen) == 3, "three reconciles")

    run(test)


def test_a_worker_outlives_every_error(caplog: pytest.LogCaptureFixture) -> None:
    """After an error the worker logs one line and retries."""

    async def test() -> None:
        reconciles = Reconciles(ValueError("surprise"), Outcome.GONE)
        workers = Workers(reconciles)
        workers.enqueue(DEMO)
        await ended(workers)
        assert reconciles.seen == [DEMO, DEMO]

    with caplog.at_level(logging.WARNING):
        run(test)
    (message,) = caplog.messages
    assert re.fullmatch(r"iot/demo: ValueError: surprise; retrying in (0\.[5-9]|1\.0) s", message)


def test_fleets_that_fail_together_are_retried_apart(caplog: pytest.LogCaptureFixture) -> None:
    """The delays after an error have jitter, so that fleets do not return to an API server all at once."""

    async def test() -> None:
        reconciles = Reconciles(ValueError("surprise"))
        workers = Workers(reconciles)
        for number in range(20):
            workers.enqueue(Key("iot", f"fleet-{number}"))
        await until_async(lambda: len(reconciles.seen) == 20 and reconciles.running == 0, "twenty reconciles")

    with caplog.at_level(logging.WARNING):
        run(test)
    delays = [message.rpartition(" in ")[2] for message in caplog.messages]
    assert len(delays) == 20
    assert len(set(delays)) > 1


def test_events_do_not_shorten_the_back_off_after_an_error() -> None:
    """The next try begins no earlier than the first back-off ends, however many events come."""

    async def test() -> None:
        reconciles = Reconciles(ValueError("surprise"))
        workers = Workers(reconciles)

        async def events() -> None:
            while True:
                workers.enqueue(DEMO)
                await asyncio.sleep(0.01)

        coming = asyncio.create_task(events())
        began = time.monotonic()
        await until_async(lambda: len(reconciles.seen) == 2, "two reconciles")
        assert time.monotonic() - began > 0.45
        assert not coming.done()

    run(test)


def test_a_fleet_that_is_gone_ends_its_worker_and_may_come_back() -> None:
    """A fleet that is created again gets a new worker."""

    async def test() -> None:
        reconciles = Reconciles(Outcome.GONE)
        workers = Workers(reconciles)
        for _ in range(2):
            workers.enqueue(DEMO)
            assert workers.fleets == 1
            await ended(workers)
        assert reconciles.seen == [DEMO, DEMO]

    run(test)


def test_a_fleet_that_comes_back_during_its_last_reconcile_is_not_lost() -> None:
    """An event during the last reconcile leads to one more."""

    async def test() -> None:
        reconciles = Reconciles(Outcome.GONE)
        workers = Workers(reconciles)
        reconciles.released.clear()
        workers.enqueue(DEMO)
        await until_async(lambda: reconciles.running == 1, "a running reconcile")
        workers.enqueue(DEMO)
        reconciles.released.set()
        await ended(workers)
        assert reconciles.seen == [DEMO, DEMO]

    run(test)


def test_closing_ends_a_reconcile_in_the_middle() -> None:
    """Closing cancels a reconcile that hangs."""

    async def test() -> None:
        reconciles = Reconciles(Outcome.DONE)
        workers = Workers(reconciles)
        reconciles.released.clear()
        workers.enqueue(DEMO)
        await until_async(lambda: reconciles.running == 1, "a running reconcile")
        tasks = [task for task in asyncio.all_tasks() if task.get_name().startswith("fleet ")]
        workers.close()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results] == [asyncio.CancelledError]

    run(test)
