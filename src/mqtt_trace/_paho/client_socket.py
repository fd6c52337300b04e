"""A paho client's socket on an asyncio loop, by paho's socket callbacks."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from paho.mqtt.client import Client

from mqtt_trace._paho.client import forget_ping

if TYPE_CHECKING:
    from paho.mqtt.client import SocketLike  # exists for type checkers only

_CHUNK = 65_536
_LEAVE_TIMEOUT_S = 2.0


class ClientSocket:
    """Reads and writes when the socket is ready; it takes the client's socket callbacks.

    Create and use it on the event loop. A pause ends with its connection.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._writing: SocketLike | None = None
        self._reads = True
        self._behind = False
        self._has_read = False
        self._left: socket.socket | None = None
        client.on_socket_open = self._opened
        client.on_socket_close = self._closed
        client.on_socket_register_write = self._write_wanted
        client.on_socket_unregister_write = self._write_done

    def pause_reading(self) -> None:
        """Stop reading from the socket."""
        sock = self._client.socket()
        if self._reads and sock is not None:
            self._reads = False
            self._behind = True
            self._loop.remove_reader(sock)

    def resume_reading(self) -> None:
        """Read from the socket again."""
        sock = self._client.socket()
        if not self._reads and sock is not None:
            self._reads = True
            self._loop.add_reader(sock, self._readable)
            self._loop.call_soon(self._readable)  # the descriptor does not announce data that TLS has already decrypted

    def look_after(self) -> bool:
        """Let paho send PINGREQ or notice a missing PINGRESP; return False if the peer has left during a pause.

        During and after a pause, PINGRESP may be unread behind other packets. A vanished peer is then detected when the
        kernel gives up on our PINGREQs, or by paho's own time-out once everything has been read.
        """
        if not self._reads and self._is_hung_up():
            return False
        if self._behind:
            self._behind = self._has_read or not self._reads
            self._has_read = False
            forget_ping(self._client)
        self._client.loop_misc()
        return True

    def read_rest(self) -> None:
        """Let paho handle what the peer sent before it closed the connection.

        After a failed write the cause may be unread: a DISCONNECT, or a TLS alert, as a TLS 1.3 handshake ends before
        the broker has checked our certificate.
        """
        while self._reads and self._is_hung_up():
            self._client.loop_read()

    async def leave(self) -> None:
        """After a connection with pauses has ended, let the peer read our last packets.

        Closing a socket with unread data resets the connection, and the peer may never see the packets before
        DISCONNECT. So the rest is read and discarded until the peer closes its side, or for two seconds.
        """
        if self._left is None:
            return
        with self._left as sock, suppress(OSError):  # TimeoutError is one
            self._left = None
            sock.shutdown(socket.SHUT_WR)
            async with asyncio.timeout(_LEAVE_TIMEOUT_S):
                while await self._loop.sock_recv(sock, _CHUNK):
                    pass

    def abort(self) -> None:
        """Break the connection. paho has no call for that, so its next read finds the connection closed."""
        self._reads = True
        self._behind = False
        sock = self._client.socket()
        if sock is None:
            return
        # If this fails, the connection is closed already, and the read finds that, too.
        with suppress(OSError), _copy(sock) as connected:
            with suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)
            while connected.recv(_CHUNK):  # paho would handle the unread packets before it finds the end
                pass
        self._readable()
        self._client.loop_read()

    def _opened(self, client: Client, userdata: Any, sock: SocketLike) -> None:
        """Called on the thread that connects."""
        del client, userdata
        self._loop.call_soon_threadsafe(self._watch, sock)

    def _watch(self, sock: SocketLike) -> None:
        if sock is self._client.socket():
            self._loop.add_reader(sock, self._readable)

    def _closed(self, client: Client, userdata: Any, sock: SocketLike) -> None:
        del client, userdata
        self._loop.remove_reader(sock)
        self._stop_writing()
        if self._behind:
            with suppress(OSError):
                self._left = _copy(sock)
        self._reads = True
        self._behind = False

    def _write_wanted(self, client: Client, userdata: Any, sock: SocketLike) -> None:
        """Write in the next iteration of the loop: the socket nearly always takes everything, without a writer."""
        del client, userdata, sock
        if threading.get_ident() == self._thread:
            self._loop.call_soon(self._writable)
        else:
            self._loop.call_soon_threadsafe(self._writable)

    def _write_done(self, client: Client, userdata: Any, sock: SocketLike) -> None:
        del client, userdata, sock
        self._stop_writing()

    def _stop_writing(self) -> None:
        if self._writing is not None:
            self._loop.remove_writer(self._writing)
            self._writing = None

    def _readable(self) -> None:
        """Read until TLS has no decrypted data left, which the descriptor does not announce."""
        if self._reads:
            self._has_read = True
            self._client.loop_read()
        while self._reads and (sock := self._client.socket()) is not None and getattr(sock, "pending", int)():
            self._client.loop_read()

    def _writable(self) -> None:
        self._client.loop_write()
        sock = self._client.socket()
        if self._writing is None and sock is not None and self._client.want_write():
            self._writing = sock
            self._loop.add_writer(sock, self._writable)

    def _is_hung_up(self) -> bool:
        """Whether the peer has closed the connection; nothing is read."""
        sock = self._client.socket()
        if sock is None:
            return False
        poll = select.poll()
        poll.register(sock.fileno(), getattr(select, "POLLRDHUP", 0))  # exists on Linux
        return bool(poll.poll(0))


def _copy(sock: SocketLike) -> socket.socket:
    """The plain socket under paho's, which may lack `shutdown`, on a duplicated descriptor.

    Raises:
        OSError: It is closed.
    """
    copy = socket.socket(fileno=os.dup(sock.fileno()))
    copy.settimeout(0)
    return copy
