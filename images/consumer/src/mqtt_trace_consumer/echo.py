"""The HTTP call to echo, with one CLIENT span each, and the classification of its failures."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from types import MappingProxyType, TracebackType
from typing import Self

import httpx
from opentelemetry.instrumentation.httpx import AsyncOpenTelemetryTransport
from opentelemetry.trace import TracerProvider

from mqtt_trace import ConfigurationError
from mqtt_trace_consumer.causes import is_nonsense
from mqtt_trace_consumer.transport import Payload, PostTransport

_KEEP_ALIVE_S = 4.0
"""Shorter than uvicorn's 5 s: a request fails on a connection that the server is closing."""
_UNAVAILABLE = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_HEADERS: Mapping[str, str] = MappingProxyType({"content-type": "application/json"})


class EchoUnavailableError(Exception):
    """Echo is unreachable, late or overloaded (429, 503): the reading is not the cause.

    Attributes:
        retry_after: Seconds that echo asked to wait (RFC 9110, section 10.2.3), 0 if it did not say.
    """

    def __init__(self, cause: str, retry_after: float = 0.0) -> None:
        super().__init__(cause)
        self.retry_after = retry_after


class EchoRefusedError(Exception):
    """Echo answered with an error, or with an answer that is not HTTP."""


class Echo:
    """Posts payloads to echo; use as an async context manager.

    The CPU time of httpx's own pool grows with the number of concurrent requests. `make bench` compares: with 16 traced
    calls at once, a call over `PostTransport` takes two fifths of the CPU time of httpx with a client per worker, and a
    fifth of that with one client, which saves most of what a whole reading costs (docs/performance.md, "HTTP hop").
    httpx's client would also add cookies, redirects and authentication, which no call here needs.

    Args:
        url: Where to post.
        timeout: Seconds for connecting, for each part of the answer, and a second longer for all of it.
        connections: Maximum number of concurrent calls.
        tracer_provider: Provider of the CLIENT spans; the global one by default.

    Raises:
        mqtt_trace.ConfigurationError: The certificates of `https` cannot be read.
    """

    def __init__(
        self, url: str, *, timeout: float, connections: int, tracer_provider: TracerProvider | None = None
    ) -> None:
        self._url = httpx.URL(url)
        transport = PostTransport(
            timeout=timeout,
            connections=connections,
            keep_alive=_KEEP_ALIVE_S,
            tls_context=_tls_context() if self._url.scheme == "https" else None,
        )
        # HTTPXClientInstrumentor().instrument() supports only httpx's own transports, so it would create no spans.
        self._transport = AsyncOpenTelemetryTransport(transport, tracer_provider=tracer_provider)

    async def post(self, payload: bytes | bytearray) -> None:
        """Post one payload and return when echo has accepted it.

        Raises:
            EchoUnavailableError: It is worth trying again for as long as it takes.
            EchoRefusedError: It may be the payload's fault.
        """
        request = httpx.Request("POST", self._url, headers=_HEADERS, stream=Payload(bytes(payload)))
        try:
            response = await self._transport.handle_async_request(request)
        except httpx.TransportError as error:
            kind = EchoRefusedError if is_nonsense(error) else EchoUnavailableError
            raise kind(f"{type(error).__name__}: {error}") from error
        except Exception as error:
            raise EchoRefusedError(f"{type(error).__name__}: {error}") from error
        if response.status_code in _UNAVAILABLE:
            raise EchoUnavailableError(
                f"echo answered {response.status_code}", retry_after(response.headers.get("retry-after", ""))
            )
        if not response.is_success:
            raise EchoRefusedError(f"echo answered {response.status_code}")

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._transport.__aexit__(exc_type, exc, traceback)


def _tls_context() -> ssl.SSLContext:
    """The context of httpx, which reads `SSL_CERT_FILE` and `SSL_CERT_DIR`."""
    try:
        return httpx.create_ssl_context()
    except OSError as error:
        raise ConfigurationError(variable="SSL_CERT_FILE", problem=f"cannot be used: {error}") from error


def retry_after(value: str) -> float:
    """Seconds to wait by a `Retry-After` header, a number or a date; 0 if it is neither, or has passed."""
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
        return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError):
        return 0.0
