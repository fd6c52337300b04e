"""Validates payloads."""

from __future__ import annotations

import json
import math
from typing import NamedTuple, NoReturn

_LARGEST = 2**20
"""Bytes, the limit of echo. Parsed JSON can take thirty times its size, and a process that is killed for its memory
receives the same reading again."""


class PoisonPayloadError(Exception):
    """A payload that no retry can process; the text says why."""


class Reading(NamedTuple):
    """What a payload says about itself, as far as it is there and valid.

    Attributes:
        message_id: `message_id`.
        device_id: `device_id`.
        taken_at: `ts`, the time of the measurement in seconds since the epoch.
    """

    message_id: str | None = None
    device_id: str | None = None
    taken_at: float | None = None


def read_reading(payload: bytes | bytearray) -> Reading:
    """Check that a payload is a JSON object in UTF-8, and return what the consumer needs of it.

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
    return Reading(_text(document.get("message_id")), _text(document.get("device_id")), _seconds(document.get("ts")))


def _text(value: object) -> str | None:
    """The text, unless it has an unpaired surrogate, which JSON can escape and which no span can carry."""
    return value if isinstance(value, str) and _is_unicode(value) else None


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        seconds = float(value)
    except OverflowError:
        return None
    return seconds if math.isfinite(seconds) else None


def _is_unicode(text: str) -> bool:
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
