"""Why an export failed, and whether another try can help."""

from __future__ import annotations

import pytest
import requests
from mqtt_trace_service.telemetry._failure import describe_failure
from opentelemetry.util.types import AttributeValue


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_backend_that_is_busy_or_away_is_retried(status: int) -> None:
    """The codes that the OTLP specification lists as retryable are retried."""
    assert describe_failure(None, {"http.response.status_code": status}).retryable


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 413, 500])
def test_a_refused_export_is_not_retried(status: int) -> None:
    """Other codes are not retried."""
    assert not describe_failure(None, {"http.response.status_code": status}).retryable


@pytest.mark.parametrize(("code", "retryable"), [("UNAVAILABLE", True), ("INVALID_ARGUMENT", False)])
def test_grpc_codes_are_judged_as_the_specification_says(code: str, retryable: bool) -> None:
    """The codes of gRPC are retryable as in the OTLP specification."""
    attributes: dict[str, AttributeValue] = {"rpc.response.status_code": code}
    assert describe_failure(None, attributes).retryable is retryable


def test_the_cause_is_the_innermost_exception() -> None:
    """The cause is the innermost exception, without the wrappers of requests and urllib3."""
    with pytest.raises(requests.ConnectionError) as raised:
        requests.get("http://127.0.0.1:9/", timeout=1)
    failure = describe_failure(raised.value, {})
    assert failure.cause == "[Errno 111] Connection refused"
    assert failure.retryable


def test_an_invalid_address_is_not_retried() -> None:
    """An invalid address, a ValueError as well as an OSError, is not retried."""
    with pytest.raises(requests.exceptions.InvalidSchema) as raised:
        requests.get("collector:4318", timeout=1)
    assert not describe_failure(raised.value, {}).retryable


def test_an_item_that_cannot_be_encoded_is_not_retried() -> None:
    """A batch that cannot be encoded is not retried."""
    assert not describe_failure(TypeError("no"), {}).retryable


def test_the_cause_names_the_status() -> None:
    """The cause has the number and the phrase of the status."""
    assert describe_failure(None, {"http.response.status_code": 503}).cause == "HTTP 503 Service Unavailable"
