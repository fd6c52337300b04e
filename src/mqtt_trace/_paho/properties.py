"""Properties that are quick to create and to pack."""

from __future__ import annotations

from collections.abc import Callable

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties, VariableByteIntegers

_USER_PROPERTY = b"\x26"
"""Identifier 38, a pair of length-prefixed UTF-8 strings (MQTT 5, section 3.3.2.3.7)."""
_MAX_STRING = 65_535
_SURELY_FITS = _MAX_STRING // 4
"""Characters: none takes more than four bytes in UTF-8."""
_OWN = 5
"""Attributes of properties that hold user properties alone: those that every `PublishProperties` has."""
_SHORT = 0x80
"""A length below it takes one byte (MQTT 5, section 1.5.5)."""
_EMPTY = vars(Properties(PacketTypes.PUBLISH))
_TABLES = {name: table for name, table in _EMPTY.items() if name != "packetType"}
"""paho's tables of all properties, which are the same for every packet type."""


def init_quickly(properties: Properties, packetType: int) -> None:  # noqa: N803 - paho's name for it
    """Do what paho's `__init__` does, which builds its tables for each object, in a tenth of the time.

    Each object has its own tables, as with paho, because a program may add to them.
    """
    own = vars(properties)
    own["packetType"] = packetType
    for name, table in _TABLES.items():
        own[name] = table.copy()


class PublishProperties(Properties):
    """PUBLISH properties with user properties, and the other properties of `base`.

    paho's class builds its tables for every object and walks them for every packet, which is most of the cost of
    tracing a publish. User properties alone need none of that; once another property is set or read, this behaves as
    paho's class.

    Attributes:
        without_context: The program's own properties; None if the user properties contain no context.
        omitted: Whether the last packet was sent without the context.
        on_omission: Called with each change of `omitted`.
    """

    UserProperty: list[tuple[str, str]]
    without_context: list[tuple[str, str]] | None
    omitted: bool
    on_omission: Callable[[bool], None] | None

    def __init__(
        self,
        user_properties: list[tuple[str, str]],
        base: Properties | None = None,
        *,
        without_context: list[tuple[str, str]] | None = None,
    ) -> None:
        if base is not None:
            vars(self).update(vars(base))
        vars(self).update(
            packetType=PacketTypes.PUBLISH,
            UserProperty=user_properties,
            without_context=without_context,
            omitted=False,
            on_omission=None,
        )

    def note_omission(self, *, omitted: bool) -> None:
        """Note whether the packet that is about to be sent omits the context."""
        if omitted != self.omitted:
            vars(self)["omitted"] = omitted
            if self.on_omission is not None:
                self.on_omission(omitted)

    def __getstate__(self) -> dict[str, object]:
        """For copies and pickles, as mocks and outboxes create them: the span belongs only to the original."""
        return {**vars(self), "on_omission": None}

    def __getattr__(self, name: str) -> object:
        if name not in _TABLES:
            raise AttributeError(name)
        init_quickly(self, PacketTypes.PUBLISH)
        tables: dict[str, object] = vars(self)
        return tables[name]

    def pack(self) -> bytes:
        """The properties as in a packet: their length, then each property."""
        if len(vars(self)) > _OWN:
            return bytes(super().pack())  # type: ignore[no-untyped-call]  # paho leaves it untyped
        body = b""
        try:
            for name, value in self.UserProperty:
                body += _USER_PROPERTY + _utf8(name) + _utf8(value)
        except (AttributeError, OverflowError, ValueError):
            return bytes(super().pack())  # type: ignore[no-untyped-call]  # as above; it also accepts bytes, and names what it refuses
        length = len(body)
        return (bytes([length]) if length < _SHORT else VariableByteIntegers.encode(length)) + body


def fitting(user_properties: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Leave out pairs that no packet can hold: losing a tracestate is better than losing the message."""
    for name, value in user_properties:
        if len(name) + len(value) > _SURELY_FITS:
            return [pair for pair in user_properties if all(len(text.encode()) <= _MAX_STRING for text in pair)]
    return user_properties


def unpack_user_properties(properties: Properties, buffer: bytes) -> int | None:
    """Read properties as paho's `unpack` does, if they are a few user properties and nothing else.

    Returns:
        The number of bytes of the properties and their length. None, with nothing read, if paho must read them: for any
        other property, malformed data, or text that paho refuses.
    """
    if vars(properties).keys() != _EMPTY.keys() or not buffer or buffer[0] >= _SHORT:
        return None
    end = 1 + buffer[0]
    pairs: list[tuple[str, str]] = []
    position = 1
    try:
        while position < end:
            if buffer[position] != _USER_PROPERTY[0]:
                return None
            name, position = _read_utf8(buffer, position + 1)
            value, position = _read_utf8(buffer, position)
            pairs.append((name, value))
    except (IndexError, ValueError):
        return None
    if position != end:
        return None
    if pairs:
        vars(properties)["UserProperty"] = pairs
    return end


def _read_utf8(buffer: bytes, position: int) -> tuple[str, int]:
    end = position + 2 + (buffer[position] << 8) + buffer[position + 1]
    if end > len(buffer):
        raise IndexError(end)
    text = buffer[position + 2 : end].decode()
    if "\0" in text or "\ufeff" in text:
        raise ValueError(text)
    return text, end


def _utf8(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(2, "big") + data
