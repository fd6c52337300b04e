"""The call to echo, against real HTTP servers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
from mqtt_trace_consumer.echo import Echo, EchoRefusedError, EchoUnavailableError, retry_after
from mqtt_trace_consumer.transport import PostTransport

from images.consumer.tests.harness import Answer
from images.consumer.tests.harness import Echo as EchoServer
from local.ports import HOST, free_port


def post(url: str, payload: bytes = b"{}", timeout: float = 5.0) -> None:
    """One call."""

    async def call() -> None:
        async with Echo(url, timeout=timeout, connections=2) as echo:
            await echo.post(payload)

    asyncio.run(call())


def answering(status: int, **headers: str) -> Callable[[bytes], Answer]:
    """An echo with a fixed answer."""
    return lambda _: (status, headers)


def test_it_posts_the_payload_as_it_is(echo: EchoServer) -> None:
    """Echo receives the payload unchanged."""
    post(echo.url, b'{"message_id":  "1"}')
    assert echo.accepted == [b'{"message_id":  "1"}']


@pytest.mark.parametrize("status", [429, 503])
def test_an_overloaded_echo_is_unavailable(echo: EchoServer, status: int) -> None:
    """429 and 503 make echo unavailable, for the time of `Retry-After`."""
    echo.answer = answering(status, **{"retry-after": "7"})
    with pytest.raises(EchoUnavailableError, match=f"echo answered {status}") as caught:
        post(echo.url)
    assert caught.value.retry_after == 7


@pytest.mark.parametrize("status", [302, 400, 404, 413, 422, 500, 502, 504])
def test_other_answers_are_refusals(echo: EchoServer, status: int) -> None:
    """Any status other than success, 429 and 503 is a refusal of the reading."""
    echo.answer = answering(status)
    with pytest.raises(EchoRefusedError, match=f"echo answered {status}"):
        post(echo.url)


def test_a_refused_connection_is_unavailable() -> None:
    """A refused connection makes echo unavailable."""
    with pytest.raises(EchoUnavailableError, match=r"^ConnectError: cannot connect to "):
        post(f"http://{HOST}:{free_port()}/echo")


def test_silence_is_unavailable() -> None:
    """An echo that accepts a connection and never answers is unavailable."""
    with socket.create_server((HOST, 0)) as silent, pytest.raises(EchoUnavailableError, match="Timeout"):
        post(f"http://{HOST}:{silent.getsockname()[1]}/echo", timeout=0.1)


def test_a_broken_connection_is_unavailable(echo: EchoServer) -> None:
    """An echo that closes the connection during a call is unavailable."""

    def die(_: bytes) -> Answer:
        raise ConnectionAbortedError

    echo.answer = die
    with pytest.raises(EchoUnavailableError):
        post(echo.url)


def test_an_answer_that_is_not_http_is_a_refusal() -> None:
    """An answer of another protocol is a refusal, because retries do not help."""

    async def scenario() -> None:
        async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            writer.write(b"220 mail.example ESMTP\r\n\r\n")
            await writer.drain()
            writer.close()
            await writer.wait_closed()

        async with await asyncio.start_server(greet, HOST, 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with Echo(f"http://{HOST}:{port}/", timeout=5, connections=1) as echo:
                with pytest.raises(EchoRefusedError):
                    await echo.post(b"{}")

    asyncio.run(scenario())


def test_calls_share_connections() -> None:
    """A call reuses the connection of an earlier one whose answer was not read."""

    async def scenario() -> int:
        connections = 0

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            with contextlib.suppress(asyncio.IncompleteReadError):
                while head := await reader.readuntil(b"\r\n\r\n"):
                    assert b"content-type: application/json" in head.lower()
                    assert b"content-length: 2\r\n" in head.lower()
                    assert await reader.readexactly(2) == b"{}"
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n" + bytes(100_000))
            writer.close()

        async with await asyncio.start_server(answer, HOST, 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with Echo(f"http://{HOST}:{port}/", timeout=30, connections=1) as echo:
                for _ in range(20):
                    await echo.post(b"{}")
        return connections

    assert asyncio.run(scenario()) == 1


def test_an_endless_answer_is_cut_off() -> None:
    """An endless answer counts by its status, and its connection is closed."""

    async def scenario() -> None:
        closed = asyncio.Event()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"{}")
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            with contextlib.suppress(ConnectionError):
                while True:
                    writer.write(bytes(65_536))
                    await writer.drain()
            closed.set()
            writer.close()

        async with await asyncio.start_server(answer, HOST, 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with Echo(f"http://{HOST}:{port}/", timeout=3_600, connections=1) as echo, asyncio.timeout(30):
                await echo.post(b"{}")
                await closed.wait()

    asyncio.run(scenario())


def test_only_whole_payloads_are_posted() -> None:
    """A request with a body of httpx is an error, rather than sent without a body."""

    async def scenario() -> None:
        async with PostTransport(timeout=1, connections=1, keep_alive=1) as transport:
            with pytest.raises(TypeError, match="the body must be a Payload"):
                await transport.handle_async_request(httpx.Request("POST", f"http://{HOST}/", content=b"{}"))

    asyncio.run(scenario())


def test_retry_after_is_a_number_or_a_date() -> None:
    """`Retry-After` is a number or a date; any other value, and a date in the past, mean no wait."""
    assert retry_after("12") == 12
    assert 50 < retry_after(format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)) <= 60
    assert retry_after("Thu, 01 Jan 1970 00:00:00 GMT") == 0
    beyond = "Mon, 01 Jan 2024 00:00:00 +9999999999999999999999"
    for nonsense in ("", "soon", "-5", "1.5", "\N{SUPERSCRIPT TWO}", beyond):
        assert retry_after(nonsense) == 0
