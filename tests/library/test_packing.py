"""The quick packing of PUBLISH properties gives the same bytes as paho."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from mqtt_trace._paho.properties import PublishProperties, init_quickly, unpack_user_properties

PAIRS = st.lists(st.tuples(st.text(max_size=30), st.text(max_size=300)), max_size=20)


def paho_properties(user_properties: list[tuple[str, str]]) -> Any:
    """Properties of paho's own class."""
    properties = Properties(PacketTypes.PUBLISH)
    if user_properties:
        properties.UserProperty = user_properties
    return properties


@given(PAIRS)
def test_user_properties_are_packed_as_paho_packs_them(user_properties: list[tuple[str, str]]) -> None:
    """The packed bytes equal paho's."""
    assert PublishProperties(user_properties).pack() == paho_properties(user_properties).pack()


@given(PAIRS)
def test_other_properties_are_packed_as_paho_packs_them(user_properties: list[tuple[str, str]]) -> None:
    """The packet also has the caller's other properties."""
    base = Properties(PacketTypes.PUBLISH)
    base.MessageExpiryInterval = 7
    wanted = paho_properties(user_properties)
    wanted.MessageExpiryInterval = 7
    assert PublishProperties(user_properties, base).pack() == wanted.pack()


def test_a_property_set_afterwards_is_packed() -> None:
    """Setting, reading, printing and listing properties work as in paho's class."""
    properties: Any = PublishProperties([("a", "b")])
    properties.ContentType = "text/plain"
    unpacked: Any = Properties(PacketTypes.PUBLISH)
    unpacked.unpack(properties.pack())
    assert (unpacked.ContentType, unpacked.UserProperty) == ("text/plain", [("a", "b")])
    assert str(properties) == str(unpacked)
    assert properties.json() == unpacked.json()
    assert not properties.isEmpty()


def test_printing_fresh_properties_works() -> None:
    """Paho prints them when a program logs packets."""
    assert str(PublishProperties([("a", "b")])) == "[UserProperty : [('a', 'b')]]"


def test_an_unset_property_raises_as_with_paho() -> None:
    """Reading an unset property raises AttributeError, as in paho."""
    with pytest.raises(AttributeError):
        _ = PublishProperties([]).ContentType


@pytest.mark.parametrize("pair", [("a", "x" * 70_000), ("a", "\ud800"), ("a", 5), ("a", b"bytes"), ("a", "b", "c")])
def test_pairs_of_any_kind_are_packed_or_refused_as_paho_does_it(pair: Any) -> None:
    """A program gets the same bytes or error as without tracing."""

    def packed(properties: Properties) -> object:
        try:
            return properties.pack()
        except Exception as error:  # noqa: BLE001 - whatever paho raises
            return type(error), str(error)

    assert packed(PublishProperties([pair])) == packed(paho_properties([pair]))


@pytest.mark.parametrize("packet_type", [PacketTypes.PUBLISH, PacketTypes.CONNACK, PacketTypes.WILLMESSAGE])
def test_an_object_made_quickly_is_as_paho_makes_it(packet_type: int) -> None:
    """A quickly created object equals paho's, and shares no table with another."""
    ours, theirs = Properties.__new__(Properties), Properties(packet_type)
    init_quickly(ours, packet_type)
    assert vars(ours) == vars(theirs)
    ours.names["Own Property"] = 99
    init_quickly(theirs, packet_type)
    assert "Own Property" not in theirs.names


def unpacked(unpack: Callable[[Properties, bytes], object], packed: bytes) -> object:
    """The properties or the error, in a form that can be compared."""
    properties = Properties(PacketTypes.PUBLISH)
    try:
        unpack(properties, packed)
    except Exception as error:  # noqa: BLE001 - whatever paho raises
        return type(error), str(error)
    return properties.json()


def quickly(properties: Properties, packed: bytes) -> object:
    """Read as an instrumented client does."""
    read = unpack_user_properties(properties, packed)
    return Properties.unpack(properties, packed) if read is None else (properties, read)


@given(packed=st.binary(max_size=40))
def test_any_bytes_are_read_as_paho_reads_them(packed: bytes) -> None:
    """The same properties, or the same error."""
    assert unpacked(quickly, packed) == unpacked(Properties.unpack, packed)


@example(pairs=[("a", "null \0")], change=None, payload=b"")
@example(pairs=[("mark \ufeff", "b")], change=None, payload=b"")
@example(pairs=[("a", "b")], change=(2, 255), payload=b"")
@given(
    pairs=st.lists(st.tuples(st.text(max_size=12), st.text(max_size=12)), max_size=4),
    change=st.none() | st.tuples(st.integers(0, 60), st.integers(0, 255)),
    payload=st.binary(max_size=5),
)
def test_user_properties_are_read_as_paho_reads_them(
    pairs: list[tuple[str, str]], change: tuple[int, int] | None, payload: bytes
) -> None:
    """The result equals paho's, even with a changed byte, and with a payload after the properties."""
    packed = bytearray(PublishProperties(pairs).pack() + payload)
    if change is not None and change[0] < len(packed):
        packed[change[0]] = change[1]
    assert unpacked(quickly, bytes(packed)) == unpacked(Properties.unpack, bytes(packed))


def test_a_context_is_read_without_paho() -> None:
    """A context is read without paho's `unpack`, which makes receiving cheap."""
    packed = PublishProperties([("traceparent", "00-" + "1" * 32 + "-" + "2" * 16 + "-01")]).pack()
    properties: Any = Properties(PacketTypes.PUBLISH)
    assert unpack_user_properties(properties, packed + b"payload") == len(packed)
    assert properties.UserProperty == [("traceparent", "00-" + "1" * 32 + "-" + "2" * 16 + "-01")]
