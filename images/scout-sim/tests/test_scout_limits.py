"""Limits of the memory that one request takes."""

import gzip
import json

import pytest
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # the package has no py.typed marker
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span
from scout_harness import ScoutSim, attributes, span, trace_id, traces

OTLP = "/demo/otlp/v1/traces"
JSON = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
PROTOBUF = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}
MANY = 400_000
BATCH = 5_000


def encode_request(scope_spans: bytes) -> bytes:
    """Encode a request of one scope with these bytes."""
    return _field(1, _field(2, scope_spans))


def _field(number: int, value: bytes) -> bytes:
    length, digits = len(value), bytearray()
    while length > 127:
        digits.append(length & 127 | 128)
        length >>= 7
    return bytes([number << 3 | 2, *digits, length]) + value


EMPTY_SPANS = encode_request(b"\x12\x00" * (MANY + 1))
EMPTY_LINKS = encode_request(_field(2, b"\x6a\x00" * (MANY + 1)))
SPARSE = _field(15, bytes(2 * MANY))
"""An unknown field that alone makes a body large enough to be looked at."""


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (PROTOBUF, EMPTY_SPANS),
        (PROTOBUF, EMPTY_LINKS),
        (JSON, b'{"resourceSpans": [{"scopeSpans": [{"spans": [{}' + b",{}" * MANY + b"]}]}]}"),
        (JSON, b'{"unknown": [[]' + b",[]" * MANY + b"]}"),
    ],
    ids=["spans", "links", "JSON", "JSON lists"],
)
def test_too_many_messages_are_too_large(scout: ScoutSim, headers: dict[str, str], body: bytes) -> None:
    """Millions of empty messages in a small body are refused with 413 before they are parsed."""
    answer = scout.client.post(OTLP, content=gzip.compress(body), headers=headers)
    assert answer.status_code == 413
    refusal = answer.json()["message"] if headers is JSON else Status.FromString(answer.content).message
    assert refusal == "the request has more than 400000 messages inside"


@pytest.mark.parametrize("headers", [PROTOBUF, JSON], ids=["protobuf", "JSON"])
def test_a_full_batch_of_the_collector_is_accepted(scout: ScoutSim, headers: dict[str, str]) -> None:
    """The largest batch of the Collector, with twenty attributes per span, is accepted."""
    trace = trace_id()
    if headers is JSON:
        described = attributes({f"attribute.{number}": "value" for number in range(20)})
        body = json.dumps(traces(*(span(trace, attributes=described) for _ in range(BATCH)))).encode()
    else:
        body = _batch(bytes.fromhex(trace))
    answer = scout.client.post(OTLP, content=gzip.compress(body), headers=headers)
    assert answer.status_code == 200, answer.text
    assert scout.summary(trace)["span_count"] == BATCH


@pytest.mark.parametrize(
    ("rest", "status"),
    [
        (b"\x7b\x08\x96\x01\x7c", 200),
        (b"\x79" + bytes(8) + b"\x7d" + bytes(4) + b"\x78\xff\x01", 200),
        (b"\x7e", 400),
        (b"\x7a", 400),
        (b"\xff" * 20, 400),
        (b"\x0a\x7f", 400),
    ],
    ids=["a group", "numbers", "no wire type", "no length", "an endless tag", "cut off"],
)
def test_the_wire_format_of_a_large_body_is_understood(scout: ScoutSim, rest: bytes, status: int) -> None:
    """In a body whose messages are counted, unknown fields of every kind pass, and invalid protobuf is 400."""
    answer = scout.client.post(OTLP, content=gzip.compress(SPARSE + rest), headers=PROTOBUF)
    assert answer.status_code == status


def _batch(trace: bytes) -> bytes:
    described = [KeyValue(key=f"attribute.{number}") for number in range(20)]
    for attribute in described:
        attribute.value.string_value = "value"
    spans = [
        Span(trace_id=trace, span_id=number.to_bytes(8, "big"), name="work", attributes=described)
        for number in range(1, BATCH + 1)
    ]
    resource_spans = ResourceSpans(scope_spans=[ScopeSpans(spans=spans)])
    return ExportTraceServiceRequest(resource_spans=[resource_spans]).SerializeToString()
