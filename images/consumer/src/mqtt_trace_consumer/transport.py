"""httpx over aiohttp for what the consumer does: small POSTs, of whose answers only the head is looked at."""

from __future__ import annotations

import asyncio
import ssl

import aiohttp
import httpx

from mqtt_trace_consumer.causes import as_httpx

_UNREAD = httpx.ByteStream(b"")
_USELESS_HERE = ("Accept", "Accept-Encoding")
_GRACE_S = 1.0
_LONGEST_ANSWER = 2**21
"""Bytes that are read for a connection to be used again: twice the largest reading, which echo sends back."""


class Payload(httpx.AsyncByteStream):
    """The whole body of a request. httpx itself would read it anew and add the headers that aiohttp adds as well."""

    def __init__(self, data: bytes) -> None:
        self.data = data


class PostTransport(httpx.AsyncBaseTransport):
    """Posts a `Payload`, and reads away the body of the answer so that the connection can be used again.

    httpx-aiohttp's transport makes time-outs, cookies and two streams for each request: a tenth of a traced call. And
    it has a refused connection, or a server that closes one, as `ConnectTimeout`.

    Args:
        timeout: Seconds for connecting, for each part of the answer, and a second longer for all of it.
        connections: How many requests may be under way.
        keep_alive: Seconds that an idle connection is kept.
        tls_context: For `https`; without one, certificates are verified by those of the system.
    """

    def __init__(
        self, *, timeout: float, connections: int, keep_alive: float, tls_context: ssl.SSLContext | None = None
    ) -> None:
        self._timeout = timeout
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections, keepalive_timeout=keep_alive, ssl=tls_context or True),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_USELESS_HERE,
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(connect=timeout, sock_read=timeout),  # looking a name up is connecting
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Status and headers of the answer; its body is empty.

        Raises:
            httpx.TransportError: As httpx's own transports do.
            TypeError: The request has another body than a `Payload`.
        """
        if not isinstance(request.stream, Payload):
            raise TypeError(f"the body must be a Payload, not {type(request.stream).__qualname__}")
        try:
            # aiohttp's time-outs begin anew with every byte that comes.
            async with asyncio.timeout(self._timeout + _GRACE_S):
                return await self._post(request, request.stream.data)
        except aiohttp.ClientError as error:  # before TimeoutError, which some of them are as well
            raise as_httpx(error) from error
        except TimeoutError as error:
            raise httpx.ReadTimeout(f"no answer within {self._timeout:g} s") from error

    async def _post(self, request: httpx.Request, data: bytes) -> httpx.Response:
        async with self._session.post(
            str(request.url), data=data, headers=request.headers.multi_items(), allow_redirects=False
        ) as answer:
            await _read_away(answer)
        return httpx.Response(answer.status, headers=answer.raw_headers, stream=_UNREAD, request=request)

    async def aclose(self) -> None:
        """Close its connections."""
        await self._session.close()


async def _read_away(answer: aiohttp.ClientResponse) -> None:
    read = 0
    async for chunk in answer.content.iter_any():
        read += len(chunk)
        if read > _LONGEST_ANSWER:
            answer.close()
            return
