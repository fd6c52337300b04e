"""What a payload must be to be processed."""

from __future__ import annotations

import json
from typing import NoReturn

_LARGEST = 2**20
"""Bytes, and as much as echo takes. Parsed JSON can take thirty times its size, and a process that is killed for that
gets the same reading again."""


class PoisonPayloadError(Exception):
    """A payload that cannot be processed however often it is tried; the text says why."""


def read_message_id(payload: bytes | bytearray) -> str | None:
    """Check that a payload is one JSON object in UTF-8, and return its `message_id` if that is usable text.

    What the object means is echo's business. Anything else gets no better by trying again, so it is poison at once.

    Raises:
        PoisonPayloadError: It is anything else.
    """
    if len(payload) > _LARGEST:
        raise PoisonPayloadError(f"the payload is larger than {_LARGEST} bytes: {len(payload)}")
    try:
        document = _DECODER.decode(payload.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise PoisonPayloadError(f"the payload is not UTF-8: {error.reason} at byte {error.start}") from error
    except RecursionError as error:
        raise PoisonPayloadError("the payload is nested too deeply") from error
    except ValueError as error:
        raise PoisonPayloadError(f"the payload is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise PoisonPayloadError(f"the payload is not a JSON object but {_kind(document)}")
    message_id = document.get("message_id")
    return message_id if isinstance(message_id, str) and _is_unicode(message_id) else None


def _is_unicode(text: str) -> bool:
    """Whether it has no half of a surrogate pair, which JSON can escape: no span with one could be exported."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _refuse_constant(name: str) -> NoReturn:
    """`NaN` and `Infinity` are JavaScript, which Python reads and JSON (RFC 8259, section 6) does not know."""
    raise ValueError(f"{name} is not JSON")


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "an array" if isinstance(value, list) else "an object"


# json.loads would make a decoder for every reading.
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
