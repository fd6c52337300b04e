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
    """An echo that always answers like this."""
    return lambda _: (status, headers)


def test_it_posts_the_payload_as_it_is(echo: EchoServer) -> None:
    """What echo gets is what the sensor sent."""
    post(echo.url, b'{"message_id":  "1"}')
    assert echo.accepted == [b'{"message_id":  "1"}']


@pytest.mark.parametrize("status", [429, 503])
def test_echo_may_ask_to_be_left_alone(echo: EchoServer, status: int) -> None:
    """429 and 503 are no fault of the reading, and may say for how long."""
    echo.answer = answering(status, **{"retry-after": "7"})
    with pytest.raises(EchoUnavailableError, match=f"echo answered {status}") as caught:
        post(echo.url)
    assert caught.value.retry_after == 7


@pytest.mark.parametrize("status", [302, 400, 404, 413, 422, 500, 502, 504])
def test_other_answers_are_refusals(echo: EchoServer, status: int) -> None:
    """Whatever is neither success nor 429 or 503 may be the reading's fault."""
    echo.answer = answering(status)
    with pytest.raises(EchoRefusedError, match=f"echo answered {status}"):
        post(echo.url)


def test_nobody_listening_is_unavailable() -> None:
    """A refused connection is no fault of the reading."""
    with pytest.raises(EchoUnavailableError, match=r"^ConnectError: cannot connect to "):
        post(f"http://{HOST}:{free_port()}/echo")


def test_silence_is_unavailable() -> None:
    """An echo that accepts and says nothing is late."""
    with socket.create_server((HOST, 0)) as silent, pytest.raises(EchoUnavailableError, match="Timeout"):
        post(f"http://{HOST}:{silent.getsockname()[1]}/echo", timeout=0.1)


def test_a_broken_connection_is_unavailable(echo: EchoServer) -> None:
    """An echo that goes away in the middle of a call has not answered it."""

    def die(_: bytes) -> Answer:
        raise ConnectionAbortedError

    echo.answer = die
    with pytest.raises(EchoUnavailableError):
        post(echo.url)


def test_what_is_not_http_is_a_refusal() -> None:
    """A server of another protocol will not get better; nothing but our two errors is raised."""

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
    """A call takes over the connection of one that has ended, though nobody has looked at its answer."""

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


def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    """Its status says all that there is to know, and its connection is closed."""

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
    """A request that httpx made with a body of its own is refused with words, not sent without a body."""

    async def scenario() -> None:
        async with PostTransport(timeout=1, connections=1, keep_alive=1) as transport:
            with pytest.raises(TypeError, match="the body must be a Payload"):
                await transport.handle_async_request(httpx.Request("POST", f"http://{HOST}/", content=b"{}"))

    asyncio.run(scenario())


def test_retry_after_is_a_number_or_a_date() -> None:
    """Anything else, and a date that has passed, asks for nothing."""
    assert retry_after("12") == 12
    assert 50 < retry_after(format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)) <= 60
    assert retry_after("Thu, 01 Jan 1970 00:00:00 GMT") == 0
    beyond = "Mon, 01 Jan 2024 00:00:00 +9999999999999999999999"
    for nonsense in ("", "soon", "-5", "1.5", "\N{SUPERSCRIPT TWO}", beyond):
        assert retry_after(nonsense) == 0
