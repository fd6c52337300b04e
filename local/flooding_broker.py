"""A broker that ignores Receive Maximum, so that tests meet this fault with any installed Mosquitto."""

import asyncio
import ssl
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from local.ports import HOST, free_port

_FIRST_OF_OTHERS = 60_000


class FloodingBroker:
    """Keeps one session, and sends all unacknowledged messages right after CONNACK.

    Every other answer comes behind that, on the same connection. What a client publishes to a `_probe` topic is
    delivered to it, behind everything, too. A client that is silent for 1.5 times its Keep Alive is cut off.

    Args:
        topic: Of the messages.
        payloads: Theirs; packet ids count from 1.
        context: For TLS.

    Attributes:
        acknowledged: Packet ids of the messages, in the order of their PUBACKs.
        published: Topic and payload of all else that clients have published.
        connections: How many there were.
        pings: How many PINGREQs came.
        expired: How many connections were cut off.
        disconnects: Reason codes of the DISCONNECTs that came.
    """

    host = HOST

    def __init__(self, topic: str, payloads: Sequence[bytes], *, context: ssl.SSLContext | None = None) -> None:
        self.port = free_port()
        self.acknowledged: list[int] = []
        self.published: list[tuple[str, bytes]] = []
        self.connections = self.pings = self.expired = 0
        self.disconnects: list[int] = []
        self._session = {
            packet_id: _text(topic) + packet_id.to_bytes(2) + b"\0" + payload
            for packet_id, payload in enumerate(payloads, 1)
        }
        self._context = context
        self._next_other = _FIRST_OF_OTHERS
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))

    def break_connections(self) -> None:
        """Close every connection without a DISCONNECT, even with packets left to send."""
        self._loop.call_soon_threadsafe(self._abort)

    def __enter__(self) -> Self:
        self._thread.start()
        self._listening.wait()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()

    def _abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _run(self) -> None:
        server = await asyncio.start_server(self._accept, self.host, self.port, ssl=self._context)
        self._listening.set()
        await self._stop.wait()
        server.close()
        self._abort()
        await asyncio.gather(*self._tasks)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(self._loop.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self.connections += 1
        keep_alive: float | None = None
        try:
            while True:
                async with asyncio.timeout(keep_alive):
                    kind, body = await _read_packet(reader)
                if kind >> 4 == 1:  # CONNECT
                    keep_alive = 1.5 * int.from_bytes(body[8:10])
                self._answer(writer, kind, body)
        except TimeoutError:
            self.expired += 1
            writer.transport.abort()
        except (asyncio.IncompleteReadError, OSError):
            writer.close()
        finally:
            self._writers.discard(writer)

    def _answer(self, writer: asyncio.StreamWriter, kind: int, body: bytes) -> None:
        match kind >> 4:
            case 1:  # CONNECT
                writer.write(_packet(0x20, b"\1\0\0"))
                # In one piece, so that a TLS record holds many packets.
                writer.write(b"".join(_packet(0x32, message) for message in self._session.values()))
            case 3:  # PUBLISH
                self._published(writer, kind, body)
            case 4:  # PUBACK
                if self._session.pop(int.from_bytes(body[:2]), None) is not None:
                    self.acknowledged.append(int.from_bytes(body[:2]))
            case 8:  # SUBSCRIBE
                writer.write(_packet(0x90, body[:2] + b"\0" + b"\1" * _filters(body, options=1)))
            case 10:  # UNSUBSCRIBE
                writer.write(_packet(0xB0, body[:2] + b"\0" + b"\0" * _filters(body, options=0)))
            case 12:  # PINGREQ
                self.pings += 1
                writer.write(_packet(0xD0, b""))
            case 14:  # DISCONNECT
                self.disconnects.append(body[0] if body else 0)

    def _published(self, writer: asyncio.StreamWriter, kind: int, body: bytes) -> None:
        end = 2 + int.from_bytes(body[:2])
        topic = body[2:end].decode()
        qos = kind >> 1 & 3
        rest = body[end + 2 * bool(qos) :]
        if qos:
            writer.write(_packet(0x40, body[end : end + 2]))
        if "_probe" in topic:
            self._next_other += 1
            writer.write(_packet(0x32, _text(topic) + self._next_other.to_bytes(2) + rest))
        else:
            length, size = _decode(rest)
            self.published.append((topic, rest[size + length :]))


async def _read_packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    kind = (await reader.readexactly(1))[0]
    encoded = b""
    while not encoded or encoded[-1] & 128:
        encoded += await reader.readexactly(1)
    return kind, await reader.readexactly(_decode(encoded)[0])


def _packet(kind: int, body: bytes) -> bytes:
    length = len(body)
    encoded = bytearray()
    while True:
        length, low = divmod(length, 128)
        encoded.append(low | (128 if length else 0))
        if not length:
            return bytes([kind, *encoded]) + body


def _decode(encoded: bytes) -> tuple[int, int]:
    """A Variable Byte Integer (MQTT 5, section 1.5.5) and its length in bytes."""
    value = 0
    for position, byte in enumerate(encoded):
        value |= (byte & 127) << 7 * position
        if not byte & 128:
            return value, position + 1
    raise ValueError("the packet ends in the middle of a Variable Byte Integer")


def _text(text: str) -> bytes:
    return len(text.encode()).to_bytes(2) + text.encode()


def _filters(body: bytes, *, options: int) -> int:
    """The number of filters in a SUBSCRIBE or UNSUBSCRIBE."""
    length, size = _decode(body[2:])
    rest = body[2 + size + length :]
    count = 0
    while rest:
        rest = rest[2 + int.from_bytes(rest[:2]) + options :]
        count += 1
    return count
