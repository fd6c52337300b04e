"""Validates payloads."""

from __future__ import annotations

import json
from typing import NoReturn

_LARGEST = 2**20
"""Bytes, the limit of echo. Parsed JSON can take thirty times its size, and a process that is killed for its memory
receives the same reading again."""


class PoisonPayloadError(Exception):
    """A payload that no retry can process; the text says why."""


def read_message_id(payload: bytes | bytearray) -> str | None:
    """Check that a payload is a JSON object in UTF-8, and return its `message_id` if that is valid text.

    Echo validates the content of the object. Retries do not help with any other payload, so it is poison.

    Raises:
        PoisonPayloadError: The payload is anything else.
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
    """Whether it has no unpaired surrogate, which JSON can escape and which no span can carry."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _refuse_constant(name: str) -> NoReturn:
    """Refuse `NaN` and `Infinity`, which Python reads but JSON (RFC 8259, section 6) does not allow."""
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


# json.loads would create a decoder for every reading.
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
