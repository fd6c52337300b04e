"""Counts the messages in a protobuf body before it is parsed: a message of two bytes can take 600 bytes of memory."""

from functools import cache
from typing import cast

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, Message

_VARINT, _FIXED_64, _DELIMITED, _GROUP_START, _GROUP_END, _FIXED_32 = range(6)
_LENGTHS = {
    _FIXED_64: 8,
    _GROUP_START: 0,
    _GROUP_END: 0,
    _FIXED_32: 4,
}  # the fields of a group count as fields of its parent
_MORE = 0x80  # set in all bytes of a varint except the last
_MAX_SHIFT = 63

Part = tuple[int, int, Descriptor]


def exceeds_message_limit(body: bytes, message: type[Message], limit: int) -> bool:
    """Whether a body of this message type contains more than `limit` messages, at any depth.

    Raises:
        DecodeError: The body is not protobuf. The parser checks more than this function.
    """
    if len(body) <= 2 * limit:
        return False
    count = 0
    waiting: list[Part] = [(0, len(body), cast("Descriptor", message.DESCRIPTOR))]
    try:
        while waiting and count <= limit:
            inside = _messages_in(body, waiting.pop(), limit)
            count += len(inside)
            waiting += inside
    except (IndexError, KeyError):
        raise DecodeError("a field is truncated or of an unknown wire type") from None
    return count > limit


def _messages_in(body: bytes, part: Part, limit: int) -> list[Part]:
    at, end, descriptor = part
    types = _types(descriptor)
    found: list[Part] = []
    while at < end and len(found) <= limit:
        tag, at = _varint(body, at) if body[at] & _MORE else (body[at], at + 1)
        wire_type = tag & 7
        if wire_type == _DELIMITED:
            length, at = _varint(body, at) if body[at] & _MORE else (body[at], at + 1)
            if tag in types:
                found.append((at, at + length, types[tag]))
            at += length
        elif wire_type == _VARINT:
            at = _varint(body, at)[1]
        else:
            at += _LENGTHS[wire_type]
    return found


@cache
def _types(descriptor: Descriptor) -> dict[int, Descriptor]:
    return {field.number << 3 | _DELIMITED: field.message_type for field in descriptor.fields if field.message_type}


def _varint(body: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while body[at] & _MORE and shift < _MAX_SHIFT:
        value |= (body[at] & ~_MORE) << shift
        shift += 7
        at += 1
    return value | body[at] << shift, at + 1
