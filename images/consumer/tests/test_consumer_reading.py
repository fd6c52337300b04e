"""The payloads that are processed, and those that are poison."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mqtt_trace_consumer.reading import PoisonPayloadError, read_reading


@pytest.mark.parametrize(
    ("payload", "message_id"),
    [
        (b"{}", None),
        (b' {"x": [1e300]} ', None),
        (b'{"message_id": "a-1"}', "a-1"),
        ('{"message_id": "\u00e4\U0001f600"}'.encode(), "\u00e4\U0001f600"),
        (b'{"message_id": null}', None),
        (b'{"message_id": 5}', None),
        (b'{"message_id": {}}', None),
        (b'{"message_id": "\\ud800"}', None),
    ],
)
def test_an_object_is_a_reading(payload: bytes, message_id: str | None) -> None:
    """Any JSON object is a reading, with a message id if that is text."""
    assert read_reading(payload).message_id == message_id


@pytest.mark.parametrize(
    ("ts", "taken_at"),
    [
        ("1.5", 1.5),
        ("2", 2.0),
        ("-3", -3.0),
        ("true", None),
        ('"4"', None),
        ("null", None),
        ("9" * 400, None),
        ("1e999", None),
    ],
)
def test_only_a_finite_number_is_a_time(ts: str, taken_at: float | None) -> None:
    """`ts` is the time of the measurement if it is a finite number."""
    assert read_reading(f'{{"device_id": "d-1", "ts": {ts}}}'.encode()) == (None, "d-1", taken_at)


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        (b"", "is not JSON"),
        (b"not JSON", "is not JSON"),
        (b'{"a": 1', "is not JSON"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": -Infinity}', "-Infinity is not JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "is not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": "' + b"x" * 2**20 + b'"}', "larger than 1048576 bytes: 1048585"),
        (b"\xff\xfe", "not UTF-8: invalid start byte at byte 0"),
        ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
        (b"5", "not a JSON object but a number"),
        (b"true", "not a JSON object but a boolean"),
        (b"[1]", "not a JSON object but an array"),
        (b"null", "not a JSON object but null"),
        (b'"x"', "not a JSON object but a string"),
    ],
)
def test_anything_else_is_poison(payload: bytes, problem: str) -> None:
    """Any other payload is poison, and the error says why."""
    with pytest.raises(PoisonPayloadError, match=problem):
        read_reading(payload)


@given(st.binary() | st.text().map(str.encode) | st.from_type(int).map(str).map(str.encode))
def test_no_payload_raises_anything_else(payload: bytes) -> None:
    """Every payload is a reading or poison."""
    try:
        read_reading(payload)
    except PoisonPayloadError:
        return
    assert isinstance(json.loads(payload), dict)
