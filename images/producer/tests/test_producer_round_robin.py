"""Fair shares of the loop."""

import asyncio
from collections import Counter
from functools import partial

from mqtt_trace_producer.round_robin import RoundRobin

DEADLINE_S = 30.0


def test_devices_with_a_backlog_take_turns_and_leave_time_for_others() -> None:
    """No device is more than one reading ahead of another, and the loop goes round while they send."""
    backlog = 20
    sent: Counter[int] = Counter()
    done = asyncio.Event()
    rounds_of_others = 0

    def take(device: int) -> bool:
        sent[device] += 1
        assert max(sent.values()) - min(sent[other] for other in range(100)) <= 1
        if sent.total() == 100 * backlog:
            done.set()
        return sent[device] < backlog

    async def send() -> None:
        nonlocal rounds_of_others
        round_robin = RoundRobin()
        for device in range(100):
            round_robin.add(partial(take, device))
        while not done.is_set():
            await asyncio.sleep(0)
            rounds_of_others += 1

    asyncio.run(asyncio.wait_for(send(), DEADLINE_S))
    assert sent == dict.fromkeys(range(100), backlog)
    assert rounds_of_others >= 100 * backlog / 32
