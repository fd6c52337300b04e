"""The spans, metrics and log lines of echo, as the backend receives them."""

from __future__ import annotations

import json
import os
import signal
import socket
from typing import Any

import httpx
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from images.echo.tests.conftest import Echo
from local.waiting import until
from service.tests.ipv6 import needs_ipv6
from service.tests.telemetry.otlp_backend import attributes

_TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
_PARENT_ID = "b7ad6b7169203331"
_TRACEPARENT = {"traceparent": f"00-{_TRACE_ID}-{_PARENT_ID}-01"}


def test_an_echo_is_exactly_one_server_span_of_the_callers_trace(echo: Echo) -> None:
    """An echo is one SERVER span with the stable attributes; health probes and ASGI messages create no spans."""
    assert echo.http.post("/echo", json={"reading": 21.5}, headers=_TRACEPARENT).json() == {"echoed": {"reading": 21.5}}
    assert echo.http.get("/health").json() == {"status": "ok"}
    assert echo.process.stop() == 0
    ((span, resource),) = echo.backend.received.spans
    assert resource["service.name"] == "mqtt-trace-echo"
    assert (span.name, span.kind) == ("POST /echo", Span.SPAN_KIND_SERVER)
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (_TRACE_ID, _PARENT_ID)
    found = attributes(span.attributes)
    assert isinstance(found.pop("client.port"), int)
    assert found.pop("user_agent.original").startswith("python-httpx/")
    port = int(echo.url.rpartition(":")[2])
    assert found == {
        "client.address": "127.0.0.1",
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "http.route": "/echo",
        "network.protocol.version": "1.1",
        "server.address": "127.0.0.1",
        "server.port": port,
        "url.path": "/echo",
        "url.scheme": "http",
    }


@needs_ipv6
def test_addresses_of_ipv6_are_plain(echo: Echo) -> None:
    """A span has the IPv6 addresses of both ends, without port and brackets."""
    assert httpx.post(echo.url.replace("127.0.0.1", "[::1]") + "/echo", json=1, trust_env=False).status_code == 200
    assert echo.process.stop() == 0
    ((span, _),) = echo.backend.received.spans
    found = attributes(span.attributes)
    assert (found["client.address"], found["server.address"]) == ("::1", "::1")


def test_without_propagators_an_echo_is_a_trace_of_its_own(echo_without_propagators: Echo) -> None:
    """With `OTEL_PROPAGATORS=none` only the callers' contexts are lost; answers, spans and logged ids stay."""
    echo = echo_without_propagators
    for number in (1, 22, 333):
        answer = echo.http.post("/echo", json=number, headers={**_TRACEPARENT, "baggage": "tenant=acme"})
        assert (answer.status_code, answer.json()) == (200, {"echoed": number})
    assert echo.http.post("/echo", content=b"no").status_code == 400
    assert echo.http.get("/health").json() == {"status": "ok"}
    assert echo.process.stop() == 0
    spans = [span for span, _ in echo.backend.received.spans]
    assert [(span.name, span.parent_span_id) for span in spans] == [("POST /echo", b"")] * 4
    assert _TRACE_ID not in {span.trace_id.hex() for span in spans}
    assert _line("echoed 1 bytes", echo)["trace_id"] == spans[0].trace_id.hex()


def test_a_refused_body_is_one_span_too(echo: Echo) -> None:
    """A refused body is one span with the 4xx status, and without an error of echo."""
    assert echo.http.post("/echo", content=b"no", headers=_TRACEPARENT).status_code == 400
    assert echo.process.stop() == 0
    ((span, _),) = echo.backend.received.spans
    assert attributes(span.attributes)["http.response.status_code"] == 400
    assert not span.status.code


def test_each_echo_is_a_log_line_with_the_trace_id(echo: Echo) -> None:
    """Each echo is a log line with the ids of the SERVER span, on stdout as JSON and over OTLP."""
    echo.http.post("/echo", content=b"[1, 2]", headers=_TRACEPARENT)
    assert echo.process.stop() == 0
    ((span, _),) = echo.backend.received.spans
    line = _line("echoed 6 bytes", echo)
    assert (line["level"], line["trace_id"], line["span_id"]) == ("INFO", _TRACE_ID, span.span_id.hex())
    (record,) = [record for record, _ in echo.backend.received.logs if record.body.string_value == "echoed 6 bytes"]
    assert (record.trace_id.hex(), record.span_id) == (_TRACE_ID, span.span_id)


def test_metrics_follow_the_stable_conventions(echo: Echo) -> None:
    """The duration metric is in seconds by route, and is flushed at exit."""
    echo.http.post("/echo", json=1)
    assert echo.process.stop() == 0
    duration = echo.backend.received.metrics["http.server.request.duration"]
    assert duration.unit == "s"
    (point,) = duration.histogram.data_points
    assert attributes(point.attributes)["http.route"] == "/echo"


def test_sigterm_finishes_what_is_running(echo: Echo) -> None:
    """After SIGTERM, a running request gets its answer and span, new connections are refused, the exit code is 0."""
    host, port = "127.0.0.1", int(echo.url.rpartition(":")[2])
    with _send_half(echo) as slow:
        # The next request is answered after the head of the slow one was read: echo has one loop.
        echo.http.post("/echo", json=1)
        os.kill(echo.process.pid, signal.SIGTERM)
        until(lambda: _refuses(host, port), "new connections are refused")
        slow.sendall(b" 2]")
        answer = b""
        while chunk := slow.recv(4096):
            answer += chunk
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b'{"echoed": [1, 2]}')
    until(lambda: not echo.process.running, "it ended by itself")
    assert echo.process.stop() == 0
    assert echo.backend.received.span_names() == ["POST /echo", "POST /echo"]


def test_a_caller_that_hangs_up_is_one_warning(echo: Echo) -> None:
    """An incomplete body is a warning in the log and a 4xx on the span, and echo continues."""
    _send_half(echo).close()
    assert echo.http.post("/echo", json=1).status_code == 200
    assert echo.process.stop() == 0
    assert _levels(echo) == ["INFO", "INFO", "WARNING"]
    assert _line("refused a body: the connection closed before the end of the body", echo)["status"] == 400
    statuses = {attributes(span.attributes)["http.response.status_code"] for span, _ in echo.backend.received.spans}
    assert statuses == {200, 400}
    assert not any(span.status.code for span, _ in echo.backend.received.spans)


def test_what_is_never_finished_is_one_line_at_the_end(echo: Echo) -> None:
    """A request without its body is cancelled 15 s after SIGTERM, without a traceback and with exit code 0."""
    with _send_half(echo):
        echo.http.post("/echo", json=1)
        assert echo.process.stop() == 0
    (error,) = [line for line in _lines(echo) if line["level"] != "INFO"]
    assert error["message"] == "Cancel 1 running task(s), timeout graceful shutdown exceeded"
    assert "exception" not in error
    assert echo.backend.received.span_names() == ["POST /echo", "POST /echo"]


def _send_half(echo: Echo) -> socket.socket:
    """Half of a body of six bytes; the connection, on which ` 2]` could follow."""
    connection = socket.create_connection(("127.0.0.1", int(echo.url.rpartition(":")[2])))
    connection.sendall(b"POST /echo HTTP/1.1\r\nHost: echo\r\nContent-Length: 6\r\n\r\n[1,")
    return connection


def _refuses(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port)).close()
    except ConnectionRefusedError:
        return True
    return False


def _line(message: str, echo: Echo) -> dict[str, Any]:
    (found,) = [line for line in _lines(echo) if line["message"] == message]
    return found


def _levels(echo: Echo) -> list[str]:
    return sorted(line["level"] for line in _lines(echo))


def _lines(echo: Echo) -> list[dict[str, Any]]:
    return [json.loads(line) for line in echo.process.output().splitlines()]
