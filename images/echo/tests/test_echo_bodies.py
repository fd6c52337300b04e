"""The answers of echo."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mqtt_trace_echo.body import Refused, echoed

from images.echo.tests.conftest import COMMAND, MAX_BODY_BYTES, Echo

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


def test_any_json_comes_back(shared_echo: Echo) -> None:
    """Echo returns JSON objects, arrays and bare values."""
    bodies: list[object] = [{"a": [1, None, "ü"]}, [], "text", 5, None, True]
    for body in bodies:
        answer = shared_echo.http.post("/echo", content=json.dumps(body).encode())
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
        assert answer.json() == {"echoed": body}


def test_every_digit_comes_back(shared_echo: Echo) -> None:
    """Echo does not round numbers that a double cannot hold."""
    answer = shared_echo.http.post("/echo", content=b"[1.000000000000000000001, 12345678901234567890]")
    assert answer.text == '{"echoed": [1.000000000000000000001, 12345678901234567890]}'


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "Expecting value at line 1 column 1"),
        (b'{"a": 1', "Expecting ',' delimiter at line 1 column 8"),
        (b"\xff", "not UTF-8 at byte 0"),
        (b"[NaN]", "NaN is not a JSON number"),
    ],
)
def test_what_is_not_json_is_one_clear_line(shared_echo: Echo, body: bytes, reason: str) -> None:
    """A body that is not JSON gets the status 400 and the position of the error."""
    answer = shared_echo.http.post("/echo", content=body)
    assert answer.status_code == 400
    assert answer.json() == {"detail": f"the body is not JSON: {reason}"}


def test_json_nested_without_end_is_refused() -> None:
    """JSON that is nested too deeply gets an answer and does not crash echo."""
    with pytest.raises(Refused, match="the body is not JSON: nested too deeply"):
        echoed(b"[" * 500_000)


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "application/ld+json"])
def test_json_by_any_of_its_names_is_taken(shared_echo: Echo, content_type: str) -> None:
    """Content types with parameters or the suffix +json (RFC 6839), and a missing one, count as JSON."""
    assert shared_echo.http.post("/echo", content=b"1", headers={"content-type": content_type}).status_code == 200
    assert shared_echo.http.post("/echo", content=b"1").status_code == 200


def test_another_content_type_is_415(shared_echo: Echo) -> None:
    """Another content type, such as the form of `curl -d`, gets the status 415 and the expected type."""
    answer = shared_echo.http.post("/echo", data={"a": "1"})
    assert answer.status_code == 415
    assert answer.json() == {"detail": "send application/json, not application/x-www-form-urlencoded"}


def test_a_body_that_is_too_long_is_413(shared_echo: Echo) -> None:
    """A body beyond the limit gets the status 413, with or without Content-Length; one at the limit is accepted."""

    def chunks() -> Iterator[bytes]:
        for _ in range(MAX_BODY_BYTES):
            yield b"11"

    too_long = {"detail": f"the body is longer than {MAX_BODY_BYTES} bytes"}
    announced = shared_echo.http.post("/echo", content=b"1" * (MAX_BODY_BYTES + 1))
    assert (announced.status_code, announced.json()) == (413, too_long)
    chunked = shared_echo.http.post("/echo", content=chunks())
    assert (chunked.status_code, chunked.json()) == (413, too_long)
    assert shared_echo.http.post("/echo", content=b"1" * MAX_BODY_BYTES).status_code == 200


def test_an_endless_body_is_cut_off(shared_echo: Echo) -> None:
    """An endless body gets the status 413 while the client still sends."""
    with socket.create_connection(("127.0.0.1", int(shared_echo.url.rpartition(":")[2]))) as endless:
        endless.sendall(b"POST /echo HTTP/1.1\r\nHost: echo\r\nTransfer-Encoding: chunked\r\n\r\n")
        endless.sendall(b"1000\r\n" + b"1" * 0x1000 + b"\r\n")
        assert endless.recv(4096).startswith(b"HTTP/1.1 413")


def test_a_length_of_thousands_of_digits_is_400(shared_echo: Echo) -> None:
    """A Content-Length with more digits than Python reads gets the status 400."""
    with socket.create_connection(("127.0.0.1", int(shared_echo.url.rpartition(":")[2])), timeout=30) as caller:
        head = b"POST /echo HTTP/1.1\r\nHost: echo\r\nConnection: close\r\nContent-Length: " + b"0" * 4300 + b"1"
        caller.sendall(head + b"\r\n\r\n1")
        answer = caller.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.endswith(b'{"detail":"Content-Length has too many digits"}')


def test_other_methods_and_paths_are_4xx(shared_echo: Echo) -> None:
    """Other methods and paths get a 4xx status."""
    assert shared_echo.http.get("/echo").status_code == 405
    assert shared_echo.http.get("/elsewhere").status_code == 404


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(_JSON)
def test_whatever_json_python_writes_is_accepted(value: object) -> None:
    """The answer to any JSON of Python is that JSON inside an object."""
    assert json.loads(echoed(json.dumps(value).encode())) == {"echoed": value}


@given(st.binary())
def test_hostile_bytes_are_echoed_or_refused(body: bytes) -> None:
    """Any bytes are echoed or refused."""
    with suppress(Refused):
        assert echoed(body) == b'{"echoed": ' + body + b"}"


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        ("ECHO_PORT", "x", "input should be a valid integer"),
        ("ECHO_MAX_BODY_BYTES", "0", "input should be greater than or equal to 1"),
        ("ECHO_HOST", "192.0.2.1", "cannot listen on 192.0.2.1:"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "tcp", "must be http/protobuf or grpc (got 'tcp')"),
    ],
)
def test_a_wrong_setting_stops_it_with_one_line(variable: str, value: str, line: str) -> None:
    """An invalid setting, also of the library, gives exit code 2 and one line with the variable and the problem."""
    environ = {**os.environ, "ECHO_PORT": "0", variable: value}
    done = subprocess.run([COMMAND], env=environ, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"mqtt-trace-echo: {variable}: {line}")
    assert done.stderr.count("\n") == 1


def test_a_port_in_use_is_one_line() -> None:
    """A port in use gives exit code 2 and one line with ECHO_PORT."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        environ = {**os.environ, "ECHO_HOST": "127.0.0.1", "ECHO_PORT": str(port)}
        done = subprocess.run([COMMAND], env=environ, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert done.stderr == f"mqtt-trace-echo: ECHO_PORT: cannot listen on 127.0.0.1:{port}: Address already in use\n"
