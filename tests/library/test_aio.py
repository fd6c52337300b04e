"""Connections on an asyncio loop, against real brokers."""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha1
from pathlib import Path
from typing import Any, Literal

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from local.certificates import make_certificates
from local.flooding_broker import FloodingBroker
from local.mosquitto import Mosquitto
from local.ports import free_port
from local.waiting import DEADLINE_S, until, until_async
from mqtt_trace.aio import Backoff, Connection
from tests.library.harness import MakeBroker


@dataclass
class Running:
    """A connection that is kept up, and its reports."""

    connection: Connection
    ups: list[bool] = field(default_factory=list)
    downs: list[str] = field(default_factory=list)


@asynccontextmanager
async def running(
    host: str,
    port: int,
    client_id: str = "",
    *,
    password: str | None = None,
    context: ssl.SSLContext | None = None,
    keepalive: int = 60,
    transport: Literal["tcp", "websockets"] = "tcp",
    backoff: Backoff = Backoff(0.05, 0.2),  # noqa: B008 - frozen
) -> AsyncIterator[Running]:
    """Keep a client connected until the block ends, then close it."""
    client = Client(CallbackAPIVersion.VERSION2, client_id, protocol=MQTTProtocolVersion.MQTTv5, transport=transport)
    if password is not None:
        client.username_pw_set("user", password)
    if context is not None:
        client.tls_set_context(context)
    client.max_inflight_messages_set(0)
    client.connect_async(host, port, keepalive)
    ups: list[bool] = []
    downs: list[str] = []
    connection = Connection(client, on_up=ups.append, on_down=downs.append, backoff=backoff)
    task = asyncio.create_task(connection.run())
    try:
        yield Running(connection, ups, downs)
    finally:
        await connection.close()
        await asyncio.wait_for(task, DEADLINE_S)


def has(items: list[bool], count: int) -> bool:
    """Whether there are that many."""
    return len(items) == count


def bounded(test: Callable[[], Awaitable[None]]) -> None:
    """Run a test's coroutine, which must end in time."""

    async def run() -> None:
        async with asyncio.timeout(2 * DEADLINE_S):
            await test()

    asyncio.run(run())


def test_messages_of_any_size_and_number_pass_both_ways(broker: Mosquitto) -> None:
    """No packet is lost between the loop and paho's buffers, whether many small ones or large ones."""

    async def main() -> None:
        sizes: list[int] = []
        async with running(broker.host, broker.port) as link:
            client = link.connection.client
            client.on_message = lambda _c, _u, message: sizes.append(len(message.payload))
            client.on_subscribe = lambda *_: sizes.append(-1)
            await link.connection.wait_up()
            client.subscribe("aio/any", 1)
            await until_async(lambda: sizes == [-1], "the first message")
            wanted = [1] * 500 + [3_000_000] + [7] * 500
            for size in wanted:
                client.publish("aio/any", b"x" * size, 1)
            await until_async(lambda: len(sizes) == len(wanted) + 1, "every message")
        assert sorted(sizes[1:]) == sorted(wanted)

    bounded(main)


def test_tls_leaves_no_packet_unread(make_broker: MakeBroker) -> None:
    """All packets of one TLS record are handled, although the descriptor announces only the first."""
    broker = make_broker(tls=True)

    async def main() -> None:
        received: list[bytes | bytearray] = []
        subscribed: list[int] = []
        context = ssl.create_default_context(cafile=broker.ca_file)
        async with running(broker.host, broker.port, context=context) as link:
            client = link.connection.client
            client.on_message = lambda _c, _u, message: received.append(message.payload)
            client.on_subscribe = lambda *_: subscribed.append(1)
            await link.connection.wait_up()
            client.subscribe("aio/tls", 1)
            await until_async(lambda: bool(subscribed), "a SUBACK")
            for number in range(300):
                client.publish("aio/tls", str(number), 1)
            await until_async(lambda: len(received) == 300, "three hundred messages")

    bounded(main)


def test_a_lost_connection_is_made_again(make_broker: MakeBroker) -> None:
    """Each loss is reported with a cause, and the connection is made again when the broker is back."""
    broker = make_broker()

    async def main() -> None:
        async with running(broker.host, broker.port) as link:
            await link.connection.wait_up()
            for restart in range(1, 3):
                await asyncio.to_thread(broker.stop)
                await until_async(lambda: not link.connection.is_up, "the connection is lost")
                await asyncio.to_thread(broker.start)
                await until_async(partial(has, link.ups, restart + 1), "the connection is back")
            assert link.downs
            assert all(link.downs)

    bounded(main)


def test_a_broker_that_is_not_there_is_tried_until_it_is(make_broker: MakeBroker) -> None:
    """A program that starts before its broker connects once the broker is up."""
    port = free_port()

    async def main() -> None:
        async with running("127.0.0.1", port) as link:
            await until_async(lambda: len(link.downs) >= 2, "two failed attempts")
            assert "refused" in link.downs[0].lower()
            await asyncio.to_thread(make_broker, port=port)
            await link.connection.wait_up()

    bounded(main)


def test_who_is_in_a_hurry_does_not_wait_for_the_next_attempt(make_broker: MakeBroker) -> None:
    """After `hurry`, a broker that is back is found at once, without the long pause after an outage."""
    port = free_port()

    async def main() -> None:
        async with running("127.0.0.1", port, backoff=Backoff(100 * DEADLINE_S, 100 * DEADLINE_S)) as link:
            await until_async(lambda: bool(link.downs), "a failed attempt")
            await asyncio.to_thread(make_broker, port=port)
            link.connection.hurry()
            await link.connection.wait_up()

    bounded(main)


def test_a_refused_connection_names_the_reason(make_broker: MakeBroker) -> None:
    """The error distinguishes a wrong password from an unreachable broker."""
    broker = make_broker(users={"user": "right"})

    async def main() -> None:
        async with running(broker.host, broker.port, password="wrong") as link:  # noqa: S106 - wrong on purpose
            await until_async(lambda: bool(link.downs), "a failed attempt")
            assert "Not authorized" in link.downs[0]
            assert not link.ups

    bounded(main)


def test_a_refused_certificate_is_the_cause_even_before_connect_is_written(make_broker: MakeBroker) -> None:
    """The cause is the broker's TLS alert, although writing CONNECT fails before the alert is read."""
    broker = make_broker(tls=True, require_certificate=True)

    def wait_refused() -> None:
        until(lambda: "peer did not return a certificate" in broker.log, "the broker closes the connection")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        context = ssl.create_default_context(cafile=broker.ca_file)
        async with running(broker.host, broker.port, context=context) as link:

            def hold_the_loop(_client: Client, _userdata: Any) -> None:
                loop.call_soon_threadsafe(wait_refused)  # the loop writes CONNECT; the handshake has its own thread

            link.connection.client.on_pre_connect = hold_the_loop
            await until_async(lambda: bool(link.downs), "a failed attempt")
            assert "certificate required" in link.downs[0]

    bounded(main)


def test_a_disconnect_is_the_cause_even_if_a_write_fails_before_it_is_read(make_broker: MakeBroker) -> None:
    """The cause is the broker's DISCONNECT (MQTT 5, section 3.14), which the client reads after its own write fails."""
    broker = make_broker(config=["max_packet_size 2000"])

    async def main() -> None:
        async with running(broker.host, broker.port) as link:
            await link.connection.wait_up()
            client = link.connection.client
            client.publish("aio/large", b"x" * 5_000, 1)
            client.loop_write()
            until(lambda: "oversize packet" in broker.log, "the broker closes the connection")  # the loop stands still
            for _ in range(20):
                client.publish("aio/small", b"x", 1)
            await until_async(lambda: bool(link.downs), "the connection is lost")
            assert link.downs[0].startswith("the broker closed the connection: ")  # paho 2.1 misreads the short form

    bounded(main)


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accept a connection and send nothing."""
    await reader.read()
    writer.close()
    await writer.wait_closed()


async def silent_websocket(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Open a WebSocket (RFC 6455, section 4.2.2) and send nothing."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    key = next(line.split(": ")[1] for line in head.splitlines() if line.lower().startswith("sec-websocket-key"))
    digest = sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode(), usedforsecurity=False).digest()
    lines = ("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade")
    writer.write("\r\n".join((*lines, f"Sec-WebSocket-Accept: {b64encode(digest).decode()}", "", "")).encode())
    await silent(reader, writer)


@pytest.mark.parametrize(("server_of", "transport"), [(silent, "tcp"), (silent_websocket, "websockets")])
def test_a_server_that_never_answers_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
    server_of: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    transport: Literal["tcp", "websockets"],
) -> None:
    """A port that accepts connections and stays silent does not block the client forever."""
    monkeypatch.setattr("mqtt_trace._paho.connection._CONNACK_TIMEOUT_S", 0.1)

    async def main() -> None:
        server = await asyncio.start_server(server_of, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, running("127.0.0.1", port, transport=transport) as link:
            await until_async(lambda: len(link.downs) >= 2, "two failed attempts")
            assert "no CONNACK" in link.downs[0]

    bounded(main)


def test_a_name_that_does_not_resolve_is_reported() -> None:
    """The cause is the resolver's error, and attempts continue."""

    async def main() -> None:
        async with running("nowhere.invalid", 1883) as link:
            await until_async(lambda: len(link.downs) >= 1, "a failed attempt")
            assert "gaierror" in link.downs[0]

    bounded(main)


def test_an_idle_connection_stays_up(make_broker: MakeBroker) -> None:
    """Pings are sent when nothing else is (MQTT 5, section 3.12)."""
    broker = make_broker(config=["log_type all"])

    async def main() -> None:
        async with running(broker.host, broker.port, "idle", keepalive=2) as link:
            await link.connection.wait_up()
            await until_async(lambda: broker.log.count("Received PINGREQ from idle") >= 2, "two PINGREQ packets")
            assert link.downs == []

    bounded(main)


def test_closing_while_connecting_ends_at_once(make_broker: MakeBroker) -> None:
    """A connection that comes up after `close` was called is not kept."""
    broker = make_broker()

    async def main() -> None:
        async with running(broker.host, broker.port, "hasty"):
            await asyncio.sleep(0)  # the attempt to connect has begun

    bounded(main)


def test_closing_does_not_wait_for_a_server_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """`close` does not wait for a missing CONNACK."""
    monkeypatch.setattr("mqtt_trace._paho.connection._CONNACK_TIMEOUT_S", 10 * DEADLINE_S)
    accepted = asyncio.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set()
        await silent(reader, writer)

    async def main() -> None:
        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        async with server, running("127.0.0.1", server.sockets[0].getsockname()[1]):
            await accepted.wait()

    bounded(main)


def test_the_brokers_receive_maximum_is_known(make_broker: MakeBroker) -> None:
    """A publisher can keep within the broker's Receive Maximum."""
    broker = make_broker(config=["max_inflight_messages 7"])

    async def main() -> None:
        async with running(broker.host, broker.port, "careful") as link:
            await link.connection.wait_up()
            assert link.connection.receive_maximum == 7

    bounded(main)


def test_a_callback_that_fails_sees_its_message_once(broker: Mosquitto, caplog: pytest.LogCaptureFixture) -> None:
    """The error is logged, and the next message is handled."""

    async def main() -> None:
        seen: list[bytes] = []
        subscribed: list[int] = []
        async with running(broker.host, broker.port) as link:
            client = link.connection.client

            def on_message(_client: Client, _userdata: Any, message: Any) -> None:
                seen.append(message.payload)
                raise RuntimeError("callback")

            client.on_message = on_message
            client.on_subscribe = lambda *_: subscribed.append(1)
            await link.connection.wait_up()
            client.subscribe("aio/raising", 1)
            await until_async(lambda: bool(subscribed), "a SUBACK")
            client.publish("aio/raising", "a", 1)
            client.publish("aio/raising", "b", 1)
            await until_async(lambda: len(seen) >= 2, "two messages")
        assert seen == [b"a", b"b"]
        assert caplog.text.count("Caught exception in on_message: callback") == 2

    bounded(main)


def test_closing_does_not_wait_for_a_delayed_start(broker: Mosquitto) -> None:
    """A fleet that is stopped while it starts stops at once."""

    async def main() -> None:
        client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        client.connect_async(broker.host, broker.port)
        connection = Connection(client)
        task = asyncio.create_task(connection.run(delay=10 * DEADLINE_S))
        await asyncio.sleep(0)
        await connection.close()
        await task

    bounded(main)


def server_context(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """TLS contexts for the test's own server and for its clients."""
    made = make_certificates(folder)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(made.certificate, made.key)
    return server, ssl.create_default_context(cafile=made.ca)


@dataclass
class Pausing:
    """Receives from a broker, acknowledges nothing, and pauses reading with the message of a given number.

    Attributes:
        received: The payloads.
        link: The connection.
    """

    link: Running
    pause_at: int
    received: list[bytes | bytearray] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.link.connection.client.manual_ack_set(on=True)
        self.link.connection.client.on_message = self._receive

    def _receive(self, _client: Client, _userdata: Any, message: Any) -> None:
        self.received.append(message.payload)
        if len(self.received) == self.pause_at:
            self.link.connection.pause_reading()


PAYLOADS = [str(number).encode() for number in range(300)]


@pytest.mark.parametrize("tls", [False, True])
def test_a_pause_leaves_the_rest_unread_and_the_connection_alive(tmp_path: Path, *, tls: bool) -> None:
    """Even beyond Keep Alive nothing more is read and nothing is lost, and then paho keeps the connection alive."""
    server, client = server_context(tmp_path) if tls else (None, None)

    async def main() -> None:
        with FloodingBroker("aio/pause", PAYLOADS, context=server) as broker:
            async with running(broker.host, broker.port, "pausing", context=client, keepalive=2) as link:
                pausing = Pausing(link, pause_at=5)
                await until_async(lambda: broker.pings >= 2, "two PINGREQ packets")  # beyond 1.5 times Keep Alive
                assert pausing.received == PAYLOADS[:5]
                link.connection.resume_reading()
                await until_async(lambda: pausing.received == PAYLOADS, "every message")
                resumed = broker.pings
                await until_async(lambda: broker.pings >= resumed + 2, "two more PINGREQ packets")
                assert (link.downs, broker.connections, broker.expired) == ([], 1, 0)

    bounded(main)


@pytest.mark.parametrize("tls", [False, True])
def test_a_connection_that_ends_during_a_pause_is_made_again(tmp_path: Path, *, tls: bool) -> None:
    """The end is noticed, unread packets are not handled, and the next connection is read."""
    server, client = server_context(tmp_path) if tls else (None, None)

    async def main() -> None:
        with FloodingBroker("aio/pause", PAYLOADS, context=server) as broker:
            async with running(broker.host, broker.port, "pausing", context=client) as link:
                pausing = Pausing(link, pause_at=5)
                await until_async(lambda: len(pausing.received) == 5, "five messages")
                broker.break_connections()
                await until_async(lambda: len(link.downs) == 1, "the connection is lost")
                unread = len(pausing.received) - 5
                await until_async(lambda: pausing.received[5 + unread :] == PAYLOADS, "every message again")
                assert unread == 0 or tls  # at most one TLS record, which was already decrypted
                assert link.downs == ["the connection was closed while reading from it was paused"]

    bounded(main)


@pytest.mark.parametrize("tls", [False, True])
def test_closing_during_a_pause_sends_what_was_begun(tmp_path: Path, *, tls: bool) -> None:
    """Acknowledgements and DISCONNECT reach the broker although its packets are unread."""
    server, client = server_context(tmp_path) if tls else (None, None)

    async def main() -> None:
        with FloodingBroker("aio/pause", [b"x" * 1_000] * 5_000, context=server) as broker:
            async with running(broker.host, broker.port, "pausing", context=client) as link:
                pausing = Pausing(link, pause_at=5)
                await until_async(lambda: len(pausing.received) == 5, "five messages")
                for packet_id in range(1, 6):
                    link.connection.client.ack(packet_id, 1)
            assert broker.acknowledged == [1, 2, 3, 4, 5]
            assert broker.disconnects == [0]

    bounded(main)


def test_tls_leaves_no_packet_unread_after_a_pause(tmp_path: Path) -> None:
    """Packets decrypted before the pause are handled after it, although the descriptor announces nothing."""
    server, client = server_context(tmp_path)

    async def main() -> None:
        with FloodingBroker("aio/pause", PAYLOADS[:20], context=server) as broker:
            async with running(broker.host, broker.port, "pausing", context=client) as link:
                pausing = Pausing(link, pause_at=5)
                await until_async(lambda: len(pausing.received) == 5, "five messages")
                link.connection.resume_reading()
                await until_async(lambda: pausing.received == PAYLOADS[:20], "twenty messages")

    bounded(main)


def test_a_connection_is_renewed_with_a_reason() -> None:
    """The broker gets the reason code, the program gets the cause, and the new connection is read after a pause."""

    async def main() -> None:
        with FloodingBroker("aio/renew", PAYLOADS) as broker:
            async with running(broker.host, broker.port, "renewing") as link:
                pausing = Pausing(link, pause_at=5)
                await until_async(lambda: len(pausing.received) == 5, "five messages")
                link.connection.renew(0x93, "too much")
                await until_async(lambda: pausing.received[5:] == PAYLOADS, "every message again")
                assert broker.disconnects == [0x93]
                assert (link.downs, link.ups) == (["too much"], [True, True])

    bounded(main)
