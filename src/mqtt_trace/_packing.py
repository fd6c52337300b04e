"""Properties that are made, and packed, quickly."""

from __future__ import annotations

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties, VariableByteIntegers

_USER_PROPERTY = b"\x26"
"""Identifier 38, a pair of length-prefixed UTF-8 strings (MQTT 5, section 3.3.2.3.7)."""
_MAX_STRING = 65_535
_TABLES = frozenset({"types", "names", "properties"})


class LazyProperties(Properties):
    """Properties for which paho's tables are built when something asks for them: they cost more than all the rest."""

    def __init__(self, packet_type: int) -> None:
        vars(self).update(packetType=packet_type)

    def __getattr__(self, name: str) -> object:
        if name not in _TABLES:
            raise AttributeError(name)
        tables: dict[str, object] = vars(Properties(self.packetType))
        vars(self).update(tables)
        return tables[name]


class PublishProperties(LazyProperties):
    """PUBLISH properties with user properties, and whatever else `base` holds.

    paho's class builds its tables for every object and walks them for every packet, which is most of what tracing a
    publish would cost. With user properties alone none of that is needed; as soon as anything else is there, or is
    asked for, this is paho's class again.
    """

    UserProperty: list[tuple[str, str]]

    def __init__(self, user_properties: list[tuple[str, str]], base: Properties | None = None) -> None:
        super().__init__(PacketTypes.PUBLISH)
        if base is not None:
            vars(self).update(vars(base))
        vars(self).update(UserProperty=_encodable(user_properties))

    def pack(self) -> bytes:
        """The properties as they stand in a packet: a length and then each property."""
        if vars(self).keys() > {"packetType", "UserProperty"}:
            return bytes(super().pack())  # type: ignore[no-untyped-call]  # paho leaves it untyped
        body = b"".join(_USER_PROPERTY + _utf8(name) + _utf8(value) for name, value in self.UserProperty)
        length: bytes = VariableByteIntegers.encode(len(body))
        return length + body


def _utf8(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(2, "big") + data


def _encodable(user_properties: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """A pair that no packet can hold is left out: losing a tracestate is better than losing the message."""
    return [pair for pair in user_properties if all(_fits(text) for text in pair)]


def _fits(text: str) -> bool:
    return len(text) * 4 <= _MAX_STRING or len(text.encode()) <= _MAX_STRING
