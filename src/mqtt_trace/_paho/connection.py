"""Keeps a paho client connected on an asyncio loop.

paho's `loop_start` costs a thread, three descriptors and a `select()` per client, which limits it to some hundreds of
clients. With its socket callbacks one loop serves thousands; this module is the loop's side of them, with reconnects.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from mqtt_trace._paho.backoff import Backoff
from mqtt_trace._paho.client_log import ClientLog
from mqtt_trace._paho.client_socket import ClientSocket

__all__ = ["REFUSED", "Backoff", "Connection"]

_MISC_INTERVAL_S = 1.0
_CONNACK_TIMEOUT_S = 10.0
_STABLE_AFTER_S = 10.0
"""A connection that ends sooner counts as a failure. Otherwise two clients with the same id would evict each other as
fast as they can connect."""
_UNLIMITED = 65_535

REFUSED = "the broker refused the connection"
"""The beginning of a cause when the broker answered CONNECT with an error; the error follows."""


class Connection:
    """Connects a paho client, serves its socket from the running loop, and connects again when the connection is lost.

    The client must use callback API version 2, must not run a loop of its own, and leaves `on_connect`, `on_disconnect`
    and the socket callbacks to this class. Its other callbacks run on the event loop. Call `connect_async` on it first:
    it sets host, port, keepalive and session properties.

    Args:
        client: The client.
        on_up: Called with "session present" after each successful CONNACK (MQTT 5, section 3.2.2.1.1).
        on_down: Called with the cause, in words, after a failed attempt to connect and after a lost connection.
        executor: Runs the blocking part of connecting; the loop's default executor if None.
        backoff: Delays between attempts.
    """

    def __init__(
        self,
        client: Client,
        *,
        on_up: Callable[[bool], None] | None = None,
        on_down: Callable[[str], None] | None = None,
        executor: Executor | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        self.client = client
        self._on_up = on_up or _ignore
        self._on_down = on_down or _ignore
        self._executor = executor
        self._backoff = backoff or Backoff()
        # After an exception in a callback paho would handle the same packet again and again.
        client.suppress_exceptions = True
        self._loop = asyncio.get_running_loop()
        self._socket = ClientSocket(client)
        self._client_log = ClientLog(self._socket.read_rest)
        client.enable_logger(self._client_log)  # type: ignore[arg-type]  # paho calls its `log` alone; a Logger is large
        self._up = asyncio.Event()
        self._gone = asyncio.Event()
        self._closing = asyncio.Event()
        self._awake = asyncio.Event()
        self._failures = 0
        self._cause = ""
        self._reason_code = 0
        self._connack: Properties | None = None
        self._misc: asyncio.TimerHandle | None = None
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected

    @property
    def is_up(self) -> bool:
        """Whether the broker has accepted the connection, and it is still open."""
        return self._up.is_set()

    @property
    def reason_code(self) -> int:
        """Reason code of the refusal or DISCONNECT, from either side, that ended the last connection, 0 if none.

        See section 2.4 of MQTT 5.
        """
        return self._reason_code

    @property
    def maximum_packet_size(self) -> int | None:
        """Largest packet, in bytes, that the broker accepts (MQTT 5, section 3.2.2.3.6); None if it sets no limit."""
        size: int | None = getattr(self._connack, "MaximumPacketSize", None)
        return size

    @property
    def receive_maximum(self) -> int:
        """Number of unacknowledged QoS 1 and 2 publishes that the broker accepts (MQTT 5, section 3.2.2.3.3)."""
        count: int = getattr(self._connack, "ReceiveMaximum", _UNLIMITED)
        return count

    async def wait_up(self) -> None:
        """Return when the connection is up."""
        await self._up.wait()

    async def run(self, delay: float = 0.0) -> None:
        """Connect after `delay` seconds, and stay connected until `close` is called."""
        await self._pause(delay)
        while not self._closing.is_set():
            self._gone.clear()
            self._cause = ""
            self._client_log.socket_error = ""
            self._reason_code = 0
            if await self._connect():
                started = self._loop.time()
                await self._serve()
                await self._socket.leave()
                if self._loop.time() - started >= _STABLE_AFTER_S:
                    self._failures = 0
            if self._closing.is_set():
                return
            self._failures += 1
            self._on_down(self._cause)
            await self._pause(self._backoff.delay(self._failures))

    def hurry(self) -> None:
        """Connect at once and retry after short pauses, for a program that is about to stop."""
        self._failures = 0
        self._awake.set()

    def pause_reading(self) -> None:
        """Read nothing from the socket until `resume_reading` is called or this connection ends.

        This limits memory if a broker sends more than Receive Maximum (MQTT 5, section 3.3.4). PINGREQs are still sent.
        If the broker closes the connection, that is noticed within Keep Alive plus two seconds, and unread packets are
        lost.

        Call it on the event loop, for example in `on_message`. Packets of the current read are still handled: one, or
        as many as the client has unacknowledged publishes.
        """
        self._socket.pause_reading()

    def resume_reading(self) -> None:
        """Read from the socket again; call it on the event loop."""
        self._socket.resume_reading()

    def renew(self, reason_code: int, cause: str) -> None:
        """Send DISCONNECT with a reason code (MQTT 5, section 3.14.2.1), and connect again after the first delay.

        Args:
            reason_code: The reason, such as 0x93 (Receive Maximum exceeded).
            cause: What `on_down` is called with.
        """
        self._failures = 0
        self._cause = cause
        self._reason_code = reason_code
        self.client.disconnect(ReasonCode(PacketTypes.DISCONNECT, identifier=reason_code))

    async def close(self, properties: Properties | None = None, timeout: float = 5.0) -> None:  # noqa: ASYNC109 - a bound on the broker's side, not on the caller's
        """Send DISCONNECT (MQTT 5, section 3.14) with the given properties and let `run` return."""
        self._closing.set()
        self._awake.set()
        if not self._up.is_set():
            return
        self.client.disconnect(properties=properties)
        try:
            await asyncio.wait_for(self._gone.wait(), timeout)
        except TimeoutError:
            self._socket.abort()

    async def _connect(self) -> bool:
        try:
            await self._loop.run_in_executor(self._executor, self.client.reconnect)
        except (OSError, ValueError) as error:
            self._cause = f"{type(error).__name__}: {error}"
            return False
        events = [asyncio.ensure_future(event.wait()) for event in (self._up, self._gone, self._closing)]
        await asyncio.wait(events, timeout=_CONNACK_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
        for event in events:
            event.cancel()
        if self._up.is_set() and not self._closing.is_set():
            return True
        if not self._gone.is_set():
            self._cause = f"no CONNACK within {_CONNACK_TIMEOUT_S:g} s"
            self._socket.abort()
        return False

    async def _serve(self) -> None:
        """Serve the connection until it is lost, with a timer: a task that wakes up costs several times as much."""
        self._look_after()
        try:
            await self._gone.wait()
        finally:
            if self._misc is not None:
                self._misc.cancel()

    def _look_after(self) -> None:
        """Let paho send PINGREQ, or notice a missing PINGRESP."""
        self._misc = self._loop.call_later(_MISC_INTERVAL_S, self._look_after)
        if not self._socket.look_after():
            self._cause = "the connection was closed while reading from it was paused"
            self._socket.abort()

    async def _pause(self, delay: float) -> None:
        if self._closing.is_set():
            return
        self._awake.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._awake.wait(), delay)

    def _connected(
        self,
        client: Client,
        userdata: Any,
        flags: ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        del client, userdata
        if reason.is_failure:
            self._cause = f"{REFUSED}: {reason}"
            self._reason_code = reason.value
            return
        self._connack = properties
        self._up.set()
        self._on_up(flags.session_present)

    def _disconnected(
        self,
        client: Client,
        userdata: Any,
        flags: DisconnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        del client, userdata, properties
        self._up.clear()
        if flags.is_disconnect_packet_from_server:
            cause = f"the broker closed the connection: {reason}"
        else:  # TLS has words where paho has none, such as an alert that a certificate is required
            cause = f"connection lost: {self._client_log.socket_error or reason}"
        self._cause = self._cause or cause
        if flags.is_disconnect_packet_from_server:
            self._reason_code = reason.value
        self._gone.set()


def _ignore(_: object) -> None:
    """Nobody listens."""
