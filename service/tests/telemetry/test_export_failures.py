"""Why an export failed, and whether another try can help."""

from __future__ import annotations

import pytest
import requests
from mqtt_trace_service.telemetry._failure import describe_failure
from opentelemetry.util.types import AttributeValue


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_backend_that_is_busy_or_away_is_tried_again(status: int) -> None:
    """The retryable codes of the OTLP specification."""
    assert describe_failure(None, {"http.response.status_code": status}).retryable


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 413, 500])
def test_what_the_backend_refuses_is_not_sent_again(status: int) -> None:
    """OTLP: all other codes must not be retried."""
    assert not describe_failure(None, {"http.response.status_code": status}).retryable


@pytest.mark.parametrize(("code", "retryable"), [("UNAVAILABLE", True), ("INVALID_ARGUMENT", False)])
def test_grpc_codes_are_judged_as_the_specification_says(code: str, retryable: bool) -> None:
    """One of each kind; the whole list is the specification's."""
    attributes: dict[str, AttributeValue] = {"rpc.response.status_code": code}
    assert describe_failure(None, attributes).retryable is retryable


def test_the_cause_is_the_innermost_exception() -> None:
    """Not the three layers of wrapping that requests and urllib3 put around it."""
    with pytest.raises(requests.ConnectionError) as raised:
        requests.get("http://127.0.0.1:9/", timeout=1)
    failure = describe_failure(raised.value, {})
    assert failure.cause == "[Errno 111] Connection refused"
    assert failure.retryable


def test_an_address_that_cannot_work_is_not_tried_again() -> None:
    """It is a ValueError as well as an OSError."""
    with pytest.raises(requests.exceptions.InvalidSchema) as raised:
        requests.get("collector:4318", timeout=1)
    assert not describe_failure(raised.value, {}).retryable


def test_what_cannot_be_encoded_is_not_tried_again() -> None:
    """A batch that fails here fails every time."""
    assert not describe_failure(TypeError("no"), {}).retryable


def test_the_cause_names_the_status() -> None:
    """Number and phrase, as curl would show them."""
    assert describe_failure(None, {"http.response.status_code": 503}).cause == "HTTP 503 Service Unavailable"
