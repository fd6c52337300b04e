"""Load on an echo service, from many connections at once.

Usage: python -m bench.load URL SECONDS
"""

import asyncio
import sys
import time

import aiohttp

from bench.figures import Stopwatch
from bench.reading import make_payload

CONCURRENCY = 16
_HEADERS = {
    "Content-Type": "application/json",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
}


async def load(url: str, seconds: float) -> None:
    """Post readings for the given seconds, and report the number of answers."""
    body = make_payload("0")
    answered = 0
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONCURRENCY)) as session:
        stopwatch = Stopwatch()
        end = time.perf_counter() + seconds

        async def worker() -> None:
            nonlocal answered
            while time.perf_counter() < end:
                async with session.post(url, data=body, headers=_HEADERS) as response:
                    response.raise_for_status()
                    await response.read()
                answered += 1

        await asyncio.gather(*(worker() for _ in range(CONCURRENCY)))
        stopwatch.stop()
    stopwatch.report(answered)


if __name__ == "__main__":
    asyncio.run(load(sys.argv[1], float(sys.argv[2])))
