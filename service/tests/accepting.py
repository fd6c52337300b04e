"""Properties of connections that asyncio accepts on a listening socket."""

from __future__ import annotations

import asyncio
import socket


async def no_delay_of_accepted(listening: socket.socket) -> int:
    """Accept one connection and return its TCP_NODELAY: 1 when Nagle's algorithm is off."""
    found: list[int] = []

    def on_connection(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.append(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    async with await asyncio.start_server(on_connection, sock=listening):
        reader, writer = await asyncio.open_connection(*listening.getsockname())
        await reader.read()
        writer.close()
        await writer.wait_closed()
    (value,) = found
    return value
