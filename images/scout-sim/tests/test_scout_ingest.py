"""OTLP/HTTP: accepted and refused requests, and their answers."""

import gzip
import json
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # the package has no py.typed marker
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from scout_harness import TOKEN_PATH, ScoutSim, logs, metrics, span, trace_id, traces

OTLP = "/demo/otlp/v1/traces"
JSON = {"Content-Type": "application/json"}
PROTOBUF = {"Content-Type": "application/x-protobuf"}
LIMIT = 16 * 1024 * 1024


def test_every_kind_of_attribute_survives(scout: ScoutSim) -> None:
    """OTLP's values become JSON: bytes as base64, numbers outside of JSON as text, unknown values as null."""
    sent = {
        "bytes": {"bytesValue": "AAE="},
        "deep": {"kvlistValue": {"values": [{"key": "x", "value": {"intValue": "9007199254740993"}}]}},
        "empty": {},
        "infinite": {"doubleValue": "-Infinity"},
        "nan": {"doubleValue": "NaN"},
        "nothing": {"arrayValue": {}},
    }
    trace = trace_id()
    scout.send_spans(span(trace, attributes=[{"key": key, "value": value} for key, value in sent.items()]))
    [kept] = scout.ask(f"/api/traces/{trace}")["spans"]
    assert kept["attributes"] == {
        "bytes": "AAE=",
        "deep": {"x": 9007199254740993},
        "empty": None,
        "infinite": "-Infinity",
        "nan": "NaN",
        "nothing": [],
    }


@pytest.mark.parametrize("signal", ["traces", "metrics", "logs"])
def test_an_empty_request_is_a_success(scout: ScoutSim, signal: str) -> None:
    """A request without telemetry succeeds in both encodings, and the answer has the content type of the request."""
    for path in (f"/v1/{signal}", f"/demo/otlp/v1/{signal}"):
        answer = scout.client.post(path, content=b"", headers=PROTOBUF)
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-type"] == "application/x-protobuf"
        answer = scout.client.post(path, content=b"{}", headers={"Content-Type": "application/json; charset=utf-8"})
        assert (answer.status_code, answer.json()) == (200, {})
        assert answer.headers["content-type"] == "application/json"


def test_an_invalid_span_is_rejected_and_the_others_are_kept(scout: ScoutSim) -> None:
    """Spans with invalid ids or times are counted in partial_success with a reason; valid spans are kept."""
    trace = trace_id()
    invalid = [
        span(trace, traceId="ab" * 15),
        span(trace, traceId="00" * 16),
        span(trace, spanId="ab" * 9),
        span(trace, spanId=""),
        span(trace, parentSpanId="ab"),
        span(trace, endTimeUnixNano=str(2**63)),
    ]
    answer = scout.send(traces(*invalid, span(trace)))
    assert answer["partialSuccess"]["rejectedSpans"] == "6"
    assert answer["partialSuccess"]["errorMessage"] == (
        "span 'work': trace_id must be 16 bytes, not all zero (and 5 more)"
    )
    assert scout.summary(trace)["span_count"] == 1


def test_partial_success_is_protobuf_for_a_protobuf_request(scout: ScoutSim) -> None:
    """The answer to a protobuf request is protobuf."""
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.add(name="lost", trace_id=b"short")
    answer = scout.client.post(OTLP, content=request.SerializeToString(), headers=PROTOBUF)
    partial = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert (answer.status_code, partial.rejected_spans) == (200, 1)
    assert partial.error_message.startswith("span 'lost': trace_id")


def test_invalid_points_and_records_are_rejected(scout: ScoutSim) -> None:
    """Metric points without a name and log records from after 2262 are counted in partial_success."""
    point = {"timeUnixNano": "1", "asInt": "1"}
    answer = scout.send(metrics({"gauge": {"dataPoints": [point, point]}}), "metrics")
    assert answer["partialSuccess"] == {
        "rejectedDataPoints": "2",
        "errorMessage": "metric '': the name is empty (and 1 more)",
    }
    answer = scout.send(logs({"timeUnixNano": str(2**64 - 1)}), "logs")
    assert answer["partialSuccess"]["rejectedLogRecords"] == "1"


def test_a_span_delivered_twice_is_kept_once(scout: ScoutSim) -> None:
    """A batch that is sent again changes nothing."""
    trace = trace_id()
    request = traces(span(trace), span(trace))
    assert scout.send(request) == scout.send(request) == {}
    assert scout.summary(trace)["span_count"] == 2


GZIP_JSON = JSON | {"Content-Encoding": "gzip"}
GZIP_PROTOBUF = PROTOBUF | {"Content-Encoding": "gzip"}
BAD_REQUESTS: dict[str, tuple[dict[str, str], bytes, int]] = {
    "no protobuf": (PROTOBUF, b"\xff\xff\xff", 400),
    "JSON as protobuf": (PROTOBUF, b"{}", 400),
    "empty JSON": (JSON, b"", 400),
    "a list": (JSON, b"[]", 400),
    "null": (JSON, b"null", 400),
    "half JSON": (JSON, b"{", 400),
    "no UTF-8": (JSON, b"\xff", 400),
    "a number for a list": (JSON, b'{"resourceSpans": 5}', 400),
    "an id that is no hex": (JSON, json.dumps(traces(span("not hex"))).encode(), 400),
    "an id that is no text": (JSON, json.dumps(traces(span(trace_id(), spanId=5))).encode(), 400),
    "half a surrogate pair": (JSON, json.dumps(traces(span(trace_id(), "\ud800"))).encode(), 400),
    "deep JSON": (JSON, b'{"a":' * 100_000, 400),
    "a long number": (JSON, b'{"resourceSpans": ' + b"9" * 10_000 + b"}", 400),
    "plain as gzip": (GZIP_JSON, b"{}", 400),
    "half gzip": (GZIP_JSON, gzip.compress(b"{}")[:-4], 400),
    "65 gzip members": (GZIP_PROTOBUF, gzip.compress(b"") * 65, 400),
    "brotli": (JSON | {"Content-Encoding": "br"}, b"{}", 415),
    "text": ({"Content-Type": "text/plain"}, b"{}", 415),
    "no content type": ({}, b"{}", 415),
    "a gzip bomb": (GZIP_JSON, gzip.compress(bytes(LIMIT + 1)), 413),
    "a gzip bomb in two members": (GZIP_PROTOBUF, gzip.compress(bytes(LIMIT // 2 + 1)) * 2, 413),
    "a large body": (PROTOBUF, bytes(LIMIT + 1), 413),
}


@pytest.mark.parametrize(("headers", "body", "status"), BAD_REQUESTS.values(), ids=BAD_REQUESTS.keys())
def test_a_bad_request_is_refused_with_a_status(
    scout: ScoutSim, headers: dict[str, str], body: bytes, status: int
) -> None:
    """A body that is not OTLP, not gzip or too large is 4xx, with a google.rpc.Status in the request's encoding."""
    answer = scout.client.post(OTLP, content=body, headers=headers)
    assert answer.status_code == status
    if headers.get("Content-Type") == "application/x-protobuf":
        assert answer.headers["content-type"] == "application/x-protobuf"
        refusal = Status.FromString(answer.content)
        assert refusal.code == 3
        assert refusal.message
    else:
        assert answer.json()["code"] == 3
        assert "\n" not in answer.json()["message"]
    assert scout.client.get("/health").status_code == 200


def test_gzip_of_several_members_is_one_body(scout: ScoutSim) -> None:
    """Concatenated gzip members, up to 64, are a valid gzip body (RFC 1952, section 2.2)."""
    trace = trace_id()
    body = json.dumps(traces(span(trace))).encode()
    parts = gzip.compress(body[:40]) + gzip.compress(b"") * 62 + gzip.compress(body[40:])
    answer = scout.client.post(OTLP, content=parts, headers=JSON | {"Content-Encoding": "gzip"})
    assert answer.status_code == 200
    assert scout.summary(trace)["span_count"] == 1


def test_random_bytes_are_refused_or_understood(scout: ScoutSim) -> None:
    """Mutated protobuf is a 200 or a 400, never a failure of the server."""
    valid = ExportTraceServiceRequest()
    encoded = valid.resource_spans.add().scope_spans.add().spans.add(trace_id=b"\x07" * 16, span_id=b"\x01" * 8)
    encoded.attributes.add(key="device.id").value.string_value = "sensor-001"
    body = valid.SerializeToString()
    rng = random.Random(1)  # noqa: S311 - the same bytes in every run
    statuses = set()
    for _ in range(100):
        mutated = bytearray(body)
        for _ in range(rng.randint(1, 4)):
            mutated[rng.randrange(len(mutated))] = rng.randrange(256)
        statuses.add(scout.client.post(OTLP, content=bytes(mutated), headers=PROTOBUF).status_code)
    assert statuses == {200, 400}


def test_unknown_fields_are_ignored(scout: ScoutSim) -> None:
    """A field of a later OTLP is no error."""
    trace = trace_id()
    scout.send_spans(span(trace, fieldOfTomorrow={"traceId": "00"}, kind=99, status={"code": 7}))
    [kept] = scout.ask(f"/api/traces/{trace}")["spans"]
    assert (kept["kind"], kept["status"]["code"]) == ("UNSPECIFIED", "UNSET")


def test_another_tenant_or_signal_is_not_found(scout: ScoutSim, guarded: ScoutSim) -> None:
    """OTLP is taken for the tenant alone, and without a tenant only where no token is asked for."""
    assert scout.client.post("/other/otlp/v1/traces", json={}).json() == {"code": 5, "message": "the tenant is demo"}
    refusal = guarded.client.post("/v1/traces", json={})
    assert refusal.status_code == 404
    assert refusal.json()["message"] == "a token is required: send to /demo/otlp/v1/traces"
    assert scout.client.post("/demo/otlp/v1/profiles", json={}).status_code == 404


def test_a_database_that_cannot_be_written_is_503(make_scout: Callable[..., ScoutSim], tmp_path: Path) -> None:
    """While the database is locked the sender gets 503 with Retry-After; its next request is stored."""
    database = tmp_path / "scout.db"
    running = make_scout(require_token=False, database=database)
    request = traces(span(trace_id()))
    another_program = sqlite3.connect(database)
    another_program.execute("BEGIN IMMEDIATE")
    refusal = running.client.post(OTLP, json=request)
    another_program.rollback()
    another_program.close()
    assert (refusal.status_code, refusal.headers["retry-after"], refusal.json()["code"]) == (503, "1", 14)
    assert refusal.json()["message"] == "the database cannot be written: database is locked"
    assert running.send(request) == {}
    assert len(running.trace_ids()) == 1


def test_a_client_that_hangs_up_is_no_error(make_scout: Callable[..., ScoutSim], tmp_path: Path) -> None:
    """A body that ends too early is not stored, even if it looks complete, and nothing is logged."""
    settings = {"require_token": False, "database": tmp_path / "scout.db"}
    running = make_scout(**settings)
    for path in (OTLP, TOKEN_PATH):
        running.send_half(path, json.dumps(traces(span(trace_id()))).encode()).close()
    assert running.client.get("/health").status_code == 200
    assert running.process.stop() == 0
    assert running.process.output().splitlines() == [f"scout-sim: serving tenant demo on {running.url[7:]}"]
    assert make_scout(**settings).trace_ids() == []
