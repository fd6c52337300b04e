"""The JSON fallback: payloads with a context."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt_trace._spans.payload import KEY, add_context, read_context

CONTEXT = [("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")]
ADDED = f'"{KEY}":{{"traceparent":"{CONTEXT[0][1]}"}}'


@pytest.mark.parametrize(
    ("payload", "rest"),
    [
        ("{}", "{"),
        (" { } \n", " { "),
        (
            '{"a": 1e400, "b": 12345678901234567.123456789, "c":1.10}',
            '{"a": 1e400, "b": 12345678901234567.123456789, "c":1.10,',
        ),
        ('{"a":"\\u00e4"}\r\n\t', '{"a":"\\u00e4",'),
    ],
)
def test_the_rest_of_an_object_stays_as_it_was_written(payload: str, rest: str) -> None:
    """No number loses a digit, and a payload that was JSON for the receiver stays JSON."""
    assert add_context(payload.encode(), CONTEXT) == f"{rest}{ADDED}}}".encode()


@pytest.mark.parametrize(
    "payload", ['{"a":1}'.encode("utf-16"), b"[1]", b"7", b"", b"{", b"\xff", b'\xef\xbb\xbf{"a":1}']
)
def test_what_is_no_json_object_is_left_alone(payload: bytes) -> None:
    """A payload that is not a JSON object in UTF-8 is unchanged."""
    assert add_context(payload, CONTEXT) == payload
    assert read_context(payload) == []


def test_a_context_that_is_there_is_replaced() -> None:
    """A forwarded message has only the context of the forwarder."""
    first = add_context(b'{"a":1}', [("traceparent", "old"), ("tracestate", "old")])
    assert add_context(first, CONTEXT) == f'{{"a":1,{ADDED}}}'.encode()


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.lists(st.booleans())))
def test_what_was_added_is_read(document: dict[str, object]) -> None:
    """An added context is read back, and the rest of the object is the same."""
    document.pop(KEY, None)
    payload = add_context(json.dumps(document).encode(), CONTEXT)
    assert read_context(payload) == CONTEXT
    read = json.loads(payload)
    del read[KEY]
    assert read == document
