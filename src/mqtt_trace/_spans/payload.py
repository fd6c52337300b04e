"""Payloads as bytes, and the opt-in fallback for MQTT 3.1.1: the context in a `_trace` key of a JSON payload.

MQTT 3.1.1 has no user properties. This couples the transport to the payload's schema, so it is off by default.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

Payload = str | bytes | bytearray | int | float | None

KEY = "_trace"

_WHITESPACE = b" \t\n\r"
"""Of JSON (RFC 8259, section 2)."""


def as_bytes(payload: Payload) -> bytes | None:
    """Return the bytes that paho sends for a payload.

    Raises:
        TypeError: paho does not accept its type.
    """
    if payload is None or isinstance(payload, bytes):
        return payload
    if isinstance(payload, bytearray):
        return bytes(payload)
    if isinstance(payload, str | int | float):
        return str(payload).encode()
    raise TypeError(f"payload must be str, bytes, bytearray, int, float or None, not {type(payload).__qualname__}")


def add_context(payload: bytes, user_properties: Iterable[tuple[str, str]]) -> bytes:
    """Return the payload with the context; unchanged if it is not a JSON object, or without a context.

    The rest of the object keeps its text, with every digit of its numbers, unless a context in it is replaced.
    """
    context = dict(user_properties)
    document = _object(payload) if context else None
    if document is None:
        return payload
    if KEY in document:
        return _packed({**document, KEY: context})
    rest = payload.rstrip(_WHITESPACE).removesuffix(b"}")
    return rest + (b"," if document else b"") + _packed({KEY: context}).removeprefix(b"{")


def received_bytes(payload: object) -> bytes | None:
    """The bytes of a received payload; None if it is neither bytes nor text."""
    if isinstance(payload, bytes):
        return payload
    if isinstance(payload, bytearray | memoryview):
        return bytes(payload)
    return payload.encode(errors="replace") if isinstance(payload, str) else None


def read_context(payload: object) -> list[tuple[str, str]]:
    """The context in a received payload, as user properties; empty if there is none."""
    document = _object(received_bytes(payload) or b"")
    carried = document.get(KEY) if document else None
    if not isinstance(carried, dict):
        return []
    return [(name, value) for name, value in carried.items() if isinstance(value, str)]


def _packed(document: Mapping[str, object]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _object(payload: bytes) -> dict[str, object] | None:
    """The object of a payload in UTF-8, which JSON requires (RFC 8259, section 8.1)."""
    try:
        document = json.loads(payload.decode())
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
