"""httpx over aiohttp for the consumer's calls: small POSTs of which only the status and headers are used."""

from __future__ import annotations

import asyncio
import ssl

import aiohttp
import httpx

from mqtt_trace_consumer.causes import as_httpx

_UNREAD = httpx.ByteStream(b"")
_UNUSED_HEADERS = ("Accept", "Accept-Encoding")
_GRACE_S = 1.0
_LONGEST_ANSWER = 2**21
"""Bytes of an answer to read so that its connection can be reused: twice the largest reading, which echo returns."""


class Payload(httpx.AsyncByteStream):
    """The whole body of a request. With its own body type, httpx would copy it and duplicate headers of aiohttp."""

    def __init__(self, data: bytes) -> None:
        self.data = data


class PostTransport(httpx.AsyncBaseTransport):
    """Posts a `Payload`, and discards the body of the answer so that the connection can be reused.

    httpx-aiohttp's transport creates time-outs, cookies and two streams for each request: a tenth of a traced call. It
    also reports a refused or closed connection as `ConnectTimeout`.

    Args:
        timeout: Seconds for connecting, for each part of the answer, and a second longer for all of it.
        connections: Maximum number of concurrent requests.
        keep_alive: Seconds to keep an idle connection.
        tls_context: For `https`; without one, the system's CAs verify certificates.
    """

    def __init__(
        self, *, timeout: float, connections: int, keep_alive: float, tls_context: ssl.SSLContext | None = None
    ) -> None:
        self._timeout = timeout
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections, keepalive_timeout=keep_alive, ssl=tls_context or True),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_UNUSED_HEADERS,
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(connect=timeout, sock_read=timeout),  # connecting includes the DNS lookup
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Status and headers of the answer; its body is empty.

        Raises:
            httpx.TransportError: As in httpx's own transports.
            TypeError: The body is not a `Payload`.
        """
        if not isinstance(request.stream, Payload):
            raise TypeError(f"the body must be a Payload, not {type(request.stream).__qualname__}")
        try:
            # aiohttp restarts its time-outs with every byte.
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
            await _discard_body(answer)
        return httpx.Response(answer.status, headers=answer.raw_headers, stream=_UNREAD, request=request)

    async def aclose(self) -> None:
        """Close its connections."""
        await self._session.close()


async def _discard_body(answer: aiohttp.ClientResponse) -> None:
    read = 0
    async for chunk in answer.content.iter_any():
        read += len(chunk)
        if read > _LONGEST_ANSWER:
            answer.close()
            return
