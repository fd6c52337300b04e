"""Describes the errors of aiohttp's HTTP calls."""

import os
import socket
import ssl

import aiohttp

from mqtt_trace_service._address import host_and_port

_LONGEST = 300


def cause_in_words(error: BaseException) -> str:
    """Describe an error in one line; aiohttp's own text may have an invented status, or the `repr` of an object."""
    line = " ".join(_words(error).split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"


def _words(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect to {host_and_port(error.host, error.port or 0)}: {_reason(error.os_error)}"
    if isinstance(error, aiohttp.ServerDisconnectedError) and not isinstance(error.message, str):
        return "Server disconnected within the head of its answer"
    if isinstance(error, aiohttp.ClientResponseError) and error.__cause__ is not None:  # as the parser raises it
        return f"the answer is not HTTP: {error.message}"
    if isinstance(error, aiohttp.ClientPayloadError):
        return f"the answer is not complete: {getattr(error.__cause__, 'message', error)}"
    return _reason(error)


def _reason(error: BaseException) -> str:
    # These have their own error numbers; an error without a number has its own text.
    if isinstance(error, OSError) and error.errno and not isinstance(error, socket.gaierror | ssl.SSLError):
        return os.strerror(error.errno)
    if isinstance(error, TimeoutError) and not str(error):
        return "no answer in time"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
