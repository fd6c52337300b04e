"""Round-robin scheduling of devices."""

import asyncio
from collections import Counter
from functools import partial

from mqtt_trace_producer.round_robin import RoundRobin

from local.waiting import DEADLINE_S


def test_devices_publish_in_turn_and_the_loop_keeps_running() -> None:
    """No device is more than one reading ahead of another, and the event loop iterates between publishes."""
    backlog = 20
    sent: Counter[int] = Counter()
    done = asyncio.Event()
    iterations = 0

    def send_one(device: int) -> bool:
        sent[device] += 1
        assert max(sent.values()) - min(sent[other] for other in range(100)) <= 1
        if sent.total() == 100 * backlog:
            done.set()
        return sent[device] < backlog

    async def send() -> None:
        nonlocal iterations
        round_robin = RoundRobin()
        for device in range(100):
            round_robin.add(partial(send_one, device))
        while not done.is_set():
            await asyncio.sleep(0)
            iterations += 1

    asyncio.run(asyncio.wait_for(send(), DEADLINE_S))
    assert sent == dict.fromkeys(range(100), backlog)
    assert iterations >= 100 * backlog / 32
