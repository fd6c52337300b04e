"""Maps aiohttp's exceptions to those of httpx."""

from __future__ import annotations

import errno

import aiohttp
import httpx
from mqtt_trace_service import cause_in_words

_HTTPX: tuple[tuple[type[aiohttp.ClientError], type[httpx.TransportError]], ...] = (
    (aiohttp.ServerFingerprintMismatch, httpx.ConnectError),
    (aiohttp.ClientConnectorError, httpx.ConnectError),  # DNS and TLS as well
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout),
    (aiohttp.ServerTimeoutError, httpx.ReadTimeout),
    (aiohttp.ServerDisconnectedError, httpx.RemoteProtocolError),
    (aiohttp.ClientResponseError, httpx.RemoteProtocolError),
    (aiohttp.ClientPayloadError, httpx.RemoteProtocolError),
    (aiohttp.ClientConnectionResetError, httpx.WriteError),
    (aiohttp.UploadAbortedError, httpx.WriteError),
    (aiohttp.ClientOSError, httpx.ReadError),
    (aiohttp.ClientConnectionError, httpx.NetworkError),
    (aiohttp.InvalidURL, httpx.UnsupportedProtocol),
    (aiohttp.NonHttpUrlClientError, httpx.UnsupportedProtocol),
)
"""The first match counts: subclasses come before their base classes."""


def as_httpx(error: aiohttp.ClientError) -> httpx.TransportError:
    """The equivalent exception of httpx."""
    return _type(error)(cause_in_words(error))


def is_nonsense(error: httpx.TransportError) -> bool:
    """Whether there was an answer that is not HTTP."""
    return isinstance(error.__cause__, aiohttp.ClientResponseError)


def _type(error: aiohttp.ClientError) -> type[httpx.TransportError]:
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ETIMEDOUT and isinstance(error, aiohttp.ClientConnectorError):
        return httpx.ConnectTimeout
    # aiohttp finds a connection that is closing when it writes the body, and that has no number.
    if number == errno.EPIPE or (type(error) is aiohttp.ClientOSError and number is None):
        return httpx.WriteError
    return next((ours for theirs, ours in _HTTPX if isinstance(error, theirs)), httpx.TransportError)
