"""Traced calls to echo over the consumer's HTTP transport, or over httpx's own.

Usage: python -m bench.http_hop URL TRANSPORT COUNT
TRANSPORT is `mqtt-trace`, `httpx, one client` or `httpx, a client per worker`.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from types import MappingProxyType

import httpx
from mqtt_trace_consumer.echo import Echo
from mqtt_trace_service import run
from mqtt_trace_service.telemetry import setup
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor

from bench.figures import Stopwatch
from bench.reading import make_payload

CONCURRENCY = 16
"""As the consumer's default, `ECHO_CONCURRENCY`."""

Post = Callable[[bytes], Awaitable[object]]

_TIMEOUT_S = 10.0


@asynccontextmanager
async def _own_transport(url: str) -> AsyncIterator[list[Post]]:
    async with Echo(url, timeout=_TIMEOUT_S, connections=CONCURRENCY) as echo:
        yield [echo.post] * CONCURRENCY


@asynccontextmanager
async def _one_client(url: str) -> AsyncIterator[list[Post]]:
    async with httpx.AsyncClient(timeout=_TIMEOUT_S) as client:
        yield [_posts_with(client, url)] * CONCURRENCY


@asynccontextmanager
async def _client_per_worker(url: str) -> AsyncIterator[list[Post]]:
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(httpx.AsyncClient(timeout=_TIMEOUT_S)) for _ in range(CONCURRENCY)]
        yield [_posts_with(client, url) for client in clients]


TRANSPORTS: Mapping[str, Callable[[str], AbstractAsyncContextManager[list[Post]]]] = MappingProxyType(
    {
        "httpx, one client": _one_client,
        "httpx, a client per worker": _client_per_worker,
        "mqtt-trace": _own_transport,
    }
)


def _posts_with(client: httpx.AsyncClient, url: str) -> Post:
    HTTPXClientInstrumentor.instrument_client(client)

    async def post(body: bytes) -> None:
        response = await client.post(url, content=body, headers={"content-type": "application/json"})
        response.raise_for_status()

    return post


async def _post_all(posts: list[Post], count: int) -> None:
    body = make_payload("0")
    numbers = iter(range(count))

    async def work(post: Post) -> None:
        for _ in numbers:
            await post(body)

    await asyncio.gather(*map(work, posts))


def main(url: str, transport: str, count: int) -> None:
    """Post `count` readings, export their spans, and report."""

    async def measure(_stop: asyncio.Event) -> None:
        telemetry = setup("bench-http-hop")
        async with TRANSPORTS[transport](url) as posts:
            stopwatch = Stopwatch()
            await _post_all(posts, count)
            stopwatch.stop()
        telemetry.shutdown(timeout=60)
        stopwatch.report(count)

    run(measure, "bench-http-hop")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
