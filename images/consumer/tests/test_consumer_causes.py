"""The exceptions of failed calls to echo, against real servers that misbehave."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
from mqtt_trace_consumer.causes import as_httpx
from mqtt_trace_consumer.echo import Echo, EchoRefusedError, EchoUnavailableError
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from images.consumer.tests.conftest import MakeConsumer
from images.consumer.tests.harness import Backend, attributes_of, listening, publish, reading
from local.certificates import make_certificates
from local.mosquitto import Mosquitto
from local.ports import HOST, free_port
from local.waiting import until_async

Behaviour = Callable[[StreamReader, StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\n"


def answering(*parts: bytes) -> Behaviour:
    """Read the request, send these and close the connection."""

    async def behave(reader: StreamReader, writer: StreamWriter) -> None:
        await reader.readuntil(b"}")
        for part in parts:
            writer.write(part)
            await writer.drain()

    return behave


def keeping_open(*parts: bytes) -> Behaviour:
    """Read the request, send these and then nothing more."""

    async def behave(reader: StreamReader, writer: StreamWriter) -> None:
        await answering(*parts)(reader, writer)
        await reader.read()

    return behave


async def close_at_once(reader: StreamReader, writer: StreamWriter) -> None:
    """Close our side at once, and read the rest away: a close with unread data is a reset."""
    writer.write_eof()
    await reader.read()


async def reset(reader: StreamReader, writer: StreamWriter) -> None:
    """Answer the request with a TCP reset."""
    await reader.readuntil(b"}")
    lingering = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, lingering)
    writer.transport.abort()


async def dribble(reader: StreamReader, writer: StreamWriter) -> None:
    """Answer one byte at a time, without end."""
    await reader.readuntil(b"}")
    writer.write(OK + b"x: ")
    with suppress(ConnectionError):
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)


@asynccontextmanager
async def serving(behave: Behaviour, *, port: int = 0, context: ssl.SSLContext | None = None) -> AsyncGenerator[int]:
    """The port of a server with this behaviour; the client must close connections that it leaves open."""
    handling: set[asyncio.Task[None]] = set()

    async def handle(reader: StreamReader, writer: StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):  # the client went away
            await behave(reader, writer)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    def connected(reader: StreamReader, writer: StreamWriter) -> None:
        handling.add(asyncio.create_task(handle(reader, writer)))

    async with await asyncio.start_server(connected, HOST, port, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.gather(*handling)


async def capture_failure(url: str, payload: bytes = b"{}", patience: float = 20.0) -> tuple[Exception, str]:
    """The exception of a call to echo, and the status of its CLIENT span."""
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    async with Echo(url, timeout=patience, connections=1, tracer_provider=provider) as echo:
        with pytest.raises((EchoUnavailableError, EchoRefusedError)) as raised:
            await echo.post(payload)
    (span,) = spans.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    return raised.value, span.status.description or ""


def check(failure: tuple[Exception, str], kind: type[Exception], cause: str, words: str) -> None:
    """The exception, its text and the span all name the cause."""
    error, status = failure
    assert type(error) is kind
    assert str(error).startswith(f"{cause}: ")
    assert words in str(error)
    assert len(str(error).splitlines()) == 1
    assert len(str(error)) < 400
    assert status == str(error)


@pytest.mark.parametrize(
    ("behave", "cause", "words"),
    [
        (close_at_once, "RemoteProtocolError", "Server disconnected"),
        (answering(), "RemoteProtocolError", "Server disconnected"),
        (answering(b"HTTP/1.1 200 OK\r\ncontent-le"), "RemoteProtocolError", "within the head of its answer"),
        (reset, "ReadError", "Connection reset by peer"),
        (answering(OK, b"content-length: 9\r\n\r\nabc"), "RemoteProtocolError", "not complete: Not enough data"),
        (answering(OK, b"transfer-encoding: chunked\r\n\r\n9\r\na"), "RemoteProtocolError", "not complete"),
    ],
    ids=["closed at once", "closed", "closed in the head", "reset", "cut short", "cut short in a chunk"],
)
def test_a_closed_connection_is_not_a_time_out(behave: Behaviour, cause: str, words: str) -> None:
    """A connection that echo closes or resets makes echo unavailable, and is not reported as a time-out."""

    async def scenario() -> None:
        async with serving(behave) as port:
            check(await capture_failure(f"http://{HOST}:{port}/"), EchoUnavailableError, cause, words)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"220 mail.example ESMTP\r\n\r\n", "Bad status line"),
        (bytes(range(256)) * 40, "Bad status line"),
        (b"HTTP/9.9 200 OK\r\n\r\n", "Bad status line"),
        (OK + b"no header\r\n\r\n", "Invalid header token"),
        (OK + b"content-length: many\r\n\r\n", "Content-Length"),
        (OK + b"x: " + b"a" * 100_000 + b"\r\n\r\n", "Got more than"),
        (OK + b"x: a\r\n" * 1000 + b"\r\n", "Too many headers"),
        (OK + b"transfer-encoding: chunked\r\n\r\nzz\r\n", "chunk size"),
    ],
    ids=["text", "binary", "version", "header", "length", "long header", "many headers", "chunk"],
)
def test_an_answer_that_is_not_http_is_a_refusal(answer: bytes, words: str) -> None:
    """An answer that is not HTTP is a refusal without a status, whose text quotes the beginning of the answer."""

    async def scenario() -> None:
        async with serving(keeping_open(answer)) as port:
            failure = await capture_failure(f"http://{HOST}:{port}/")
            check(failure, EchoRefusedError, "RemoteProtocolError", words)
            assert "400" not in str(failure[0])

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("behave", "words"),
    [
        (keeping_open(), "Timeout on reading"),
        (keeping_open(OK, b"content-length: 9\r\n\r\nabc"), "Timeout on reading"),
        (dribble, "no answer within 0.2 s"),
    ],
    ids=["silent", "silent within the body", "without end"],
)
def test_an_answer_that_does_not_come_is_a_read_timeout(behave: Behaviour, words: str) -> None:
    """An answer that is missing or incomplete is a read time-out."""

    async def scenario() -> None:
        async with serving(behave) as port:
            failure = await capture_failure(f"http://{HOST}:{port}/", patience=0.2)
            check(failure, EchoUnavailableError, "ReadTimeout", words)

    asyncio.run(scenario())


def test_a_payload_that_cannot_be_sent_is_not_a_time_out() -> None:
    """A server that closes the connection while the payload is sent is not reported as a time-out."""

    async def scenario() -> None:
        async with serving(close_at_once) as port:
            failure = await capture_failure(f"http://{HOST}:{port}/", payload=b"x" * 1_000_000)
            cause = failure[1].partition(":")[0]
            assert cause in {"WriteError", "ReadError", "RemoteProtocolError"}  # what is noticed first
            check(failure, EchoUnavailableError, cause, ": ")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:{port}/", "cannot connect to 127.0.0.1:{port}: Connection refused"),
        ("http://[::1]:{port}/", "cannot connect to [::1]:{port}: "),
        ("http://no-such-host.invalid:{port}/", "cannot connect to no-such-host.invalid:{port}: "),
    ],
    ids=["refused", "refused by IPv6", "unknown"],
)
def test_a_failed_connection_is_a_connect_error(url: str, words: str) -> None:
    """A failed connection is a connect error that names the address and the reason."""
    port = free_port()
    failure = asyncio.run(capture_failure(url.format(port=port)))
    check(failure, EchoUnavailableError, "ConnectError", words.format(port=port))


def test_a_connection_that_is_never_accepted_is_a_connect_timeout() -> None:
    """A full backlog, and a TLS handshake that is never answered, are connect time-outs."""

    async def scenario() -> None:
        async with serving(keeping_open()) as port:
            failure = await capture_failure(f"https://{HOST}:{port}/", patience=0.2)
            check(failure, EchoUnavailableError, "ConnectTimeout", f"{HOST}:{port}")

    asyncio.run(scenario())


def test_a_failed_tls_handshake_is_a_connect_error(tmp_path: Path) -> None:
    """An untrusted certificate and a server without TLS are connect errors."""
    made = make_certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.certificate, made.key)

    async def talk(_reader: StreamReader, writer: StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")

    async def scenario() -> None:
        async with serving(keeping_open(), context=context) as port:
            failure = await capture_failure(f"https://{HOST}:{port}/")
            check(failure, EchoUnavailableError, "ConnectError", "certificate verify failed")
        async with serving(talk) as port:
            failure = await capture_failure(f"https://{HOST}:{port}/")
            check(failure, EchoUnavailableError, "ConnectError", f"cannot connect to {HOST}:{port}: ")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "kind",
    [
        kind
        for kind in map(aiohttp.client_exceptions.__dict__.get, aiohttp.client_exceptions.__all__)
        if isinstance(kind, type) and issubclass(kind, aiohttp.ClientError)
    ],
)
def test_every_exception_of_aiohttp_has_an_equivalent(kind: type[aiohttp.ClientError]) -> None:
    """Every exception of aiohttp maps to one of httpx, and only time-outs map to time-outs."""
    made = as_httpx(_made(kind))
    assert isinstance(made, httpx.TimeoutException) == issubclass(kind, aiohttp.ServerTimeoutError)
    assert str(made)


@pytest.mark.parametrize(
    ("error", "like"),
    [
        (aiohttp.ClientOSError(errno.EPIPE, "x"), httpx.WriteError),
        (aiohttp.ClientOSError(None, "Can not write request body for http://echo/echo"), httpx.WriteError),
        (aiohttp.ClientOSError(errno.ECONNRESET, "x"), httpx.ReadError),
        (aiohttp.ClientConnectionResetError("Cannot write to closing transport"), httpx.WriteError),
        (aiohttp.UploadAbortedError("x"), httpx.WriteError),
        (aiohttp.ClientConnectionError("Connector is closed"), httpx.NetworkError),
        (aiohttp.InvalidUrlClientError("x"), httpx.UnsupportedProtocol),
        (aiohttp.NonHttpUrlClientError("x"), httpx.UnsupportedProtocol),
        (aiohttp.ServerFingerprintMismatch(b"a", b"b", "x", 80), httpx.ConnectError),
        (aiohttp.ClientError(), httpx.TransportError),
    ],
)
def test_exceptions_that_no_server_can_cause(error: aiohttp.ClientError, like: type[httpx.TransportError]) -> None:
    """The other exceptions of aiohttp, and an unknown one, map to those of httpx."""
    assert type(as_httpx(error)) is like
    assert str(as_httpx(error))


def _made(kind: type[aiohttp.ClientError]) -> aiohttp.ClientError:
    request: Any = aiohttp.RequestInfo(url="http://x/", method="POST", headers={}, real_url="http://x/")  # type: ignore[arg-type]  # only their texts are looked at
    key: Any = type("Key", (), {"host": "x", "port": 80, "ssl": True})
    if issubclass(kind, aiohttp.ClientResponseError):
        return kind(request, (), message="words")
    if issubclass(kind, aiohttp.ClientConnectorError):
        return kind(key, OSError(111, "words"))
    if issubclass(kind, aiohttp.ServerFingerprintMismatch):
        return kind(b"a", b"b", "x", 80)
    return kind("words")


def test_the_log_and_the_dead_letter_name_the_cause(broker: Mosquitto, make_consumer: MakeConsumer) -> None:
    """A pause names the refused connection, a dead letter the answer that is not HTTP, and spans name both."""
    port = free_port()
    settings = {"ECHO_URL": f"http://{HOST}:{port}/", "MQTT_TOPIC_FILTER": "causes/+"}
    with Backend() as backend, listening(broker, "dead-letter/causes/+") as dead_letters:
        exporting = {"OTEL_EXPORTER_OTLP_ENDPOINT": backend.endpoint, "OTEL_SDK_DISABLED": "false"}
        consumer = make_consumer(broker, "causes-0", **settings, **exporting)
        consumer.start_ready()
        publish(broker, "causes/a", reading("1"))
        consumer.wait_said(f"(ConnectError: cannot connect to {HOST}:{port}: Connection refused)")

        async def answer_nonsense() -> None:
            async with serving(answering(b"220 mail.example ESMTP\r\n\r\n"), port=port):
                await until_async(lambda: bool(dead_letters), "the dead letter arrived")

        asyncio.run(answer_nonsense())
        consumer.stop()
        error_types = {attributes_of(span)["error.type"] for span in backend.named("POST")}
    assert error_types == {"ConnectError", "RemoteProtocolError"}
    properties = dict(dead_letters[0].properties.UserProperty)  # type: ignore[union-attr]  # MQTT 5 has them
    assert properties["error.type"] == "EchoRefusedError"
    assert properties["error.message"].startswith("RemoteProtocolError: the answer is not HTTP: Bad status line")
