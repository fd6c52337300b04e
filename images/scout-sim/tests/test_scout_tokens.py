"""Tokens: how to get one, and the telemetry that needs one."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from scout_harness import FORM, TOKEN_PATH, ScoutSim, span, trace_id, traces

OTLP = "/demo/otlp/v1/traces"


def bearer(token: str) -> dict[str, str]:
    """The header that carries a token."""
    return {"Authorization": f"Bearer {token}"}


def assert_not_stored(answer: httpx.Response) -> None:
    """Assert that a token or its refusal must not be cached."""
    assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")


def test_credentials_in_the_form_yield_a_token(guarded: ScoutSim) -> None:
    """Client credentials in the form yield a Bearer token, with which OTLP is accepted."""
    answer = guarded.client.post(TOKEN_PATH, data=FORM)
    assert answer.status_code == 200
    assert_not_stored(answer)
    document = answer.json()
    assert (document["token_type"], document["expires_in"]) == ("Bearer", 300)
    accepted = guarded.client.post(OTLP, json=traces(span(trace_id())), headers=bearer(document["access_token"]))
    assert accepted.status_code == 200


def test_credentials_as_http_basic_yield_a_token(make_scout: Callable[..., ScoutSim]) -> None:
    """Client credentials as HTTP Basic, form-encoded as RFC 6749 requires, yield a token."""
    running = make_scout(client_id="a:b", client_secret="50% s+e c:ret")  # noqa: S106 - made up
    form = {"grant_type": "client_credentials", "audience": "b14collector"}
    auth = httpx.BasicAuth("a%3Ab", "50%25+s%2Be+c%3Aret")
    assert running.client.post(TOKEN_PATH, data=form, auth=auth).status_code == 200
    wrong = running.client.post(TOKEN_PATH, data=form, auth=httpx.BasicAuth("a%3Ab", "wrong"))
    assert wrong.status_code == 401
    assert wrong.headers["www-authenticate"].startswith("Basic")


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_secret": None}, 401, "invalid_client"),
        ({"client_id": "someone"}, 401, "invalid_client"),
        ({"client_id": "scöut"}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": None}, 400, "invalid_request"),
        ({"grant_type": ""}, 400, "invalid_request"),
        ({"audience": "another"}, 400, "invalid_target"),
        ({"audience": None}, 400, "invalid_target"),
    ],
)
def test_a_wrong_token_request_is_refused(
    guarded: ScoutSim, change: dict[str, str | None], status: int, error: str
) -> None:
    """A wrong secret or client is 401, a wrong grant type or audience 400, each with the error code of its RFC."""
    form = {name: value for name, value in (FORM | change).items() if value is not None}
    answer = guarded.client.post(TOKEN_PATH, data=form)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert answer.json()["error_description"]
    assert_not_stored(answer)


@pytest.mark.parametrize(
    ("request_", "status", "problem"),
    [
        ({"data": FORM | {"scope": ["a", "b"]}}, 400, "a field is given more than once"),
        (
            {"data": FORM, "auth": httpx.BasicAuth(FORM["client_id"], FORM["client_secret"])},
            400,
            "credentials are in the Authorization header and in the form",
        ),
        ({"content": bytes(16 * 1024 * 1024 + 1)}, 413, "the request is larger than 16777216 bytes"),
    ],
    ids=["a repeated field", "credentials twice", "too large"],
)
def test_an_invalid_token_request_is_refused(
    guarded: ScoutSim, request_: dict[str, Any], status: int, problem: str
) -> None:
    """A repeated field, credentials in two places and too large a body are OAuth's invalid_request."""
    answer = guarded.client.post(TOKEN_PATH, **request_)
    assert answer.status_code == status
    assert answer.json() == {"error": "invalid_request", "error_description": problem}
    assert_not_stored(answer)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"json": FORM}, 400),
        ({"content": b"\xff\xfe", "headers": {"Content-Type": "application/x-www-form-urlencoded"}}, 400),
        (
            {"content": b"&".join([b"a=b"] * 1000), "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
            400,
        ),
        ({"data": FORM, "headers": {"Authorization": "Basic %%%"}}, 401),
        ({"data": FORM, "headers": {"Authorization": b"Basic \xe9\xe9"}}, 401),
        ({"data": FORM, "headers": {"Authorization": "Digest x"}}, 401),
    ],
)
def test_a_malformed_token_request_is_refused(guarded: ScoutSim, request_: dict[str, Any], status: int) -> None:
    """JSON, bytes that are not a form, too many fields and broken Basic credentials are 4xx."""
    assert guarded.client.post(TOKEN_PATH, **request_).status_code == status


def test_another_realm_is_not_found(guarded: ScoutSim) -> None:
    """Tokens are issued for the configured tenant only."""
    assert guarded.client.post(TOKEN_PATH.replace("demo", "other"), data=FORM).status_code == 404


@pytest.mark.parametrize(
    ("authorization", "challenge"),
    [
        (None, "Bearer"),
        ("Bearer", "Bearer"),
        ("Bearer x.y.z", 'Bearer error="invalid_token"'),
        ("Basic c2NvdXQ6c2VjcmV0", "Bearer"),
    ],
)
def test_otlp_without_a_valid_token_is_401(guarded: ScoutSim, authorization: str | None, challenge: str) -> None:
    """OTLP without a token of this scout-sim is answered with 401 and a google.rpc.Status."""
    headers = {} if authorization is None else {"Authorization": authorization}
    sent = trace_id()
    answer = guarded.client.post(OTLP, json=traces(span(sent)), headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == challenge
    assert answer.json()["code"] == 16
    assert sent not in guarded.trace_ids(limit=1000)


def test_a_token_of_another_scout_is_401(guarded: ScoutSim, make_scout: Callable[..., ScoutSim]) -> None:
    """A token is refused by a scout-sim with another secret or tenant."""
    secret = {"client_secret": "another"}
    foreign = make_scout(**secret).client.post(TOKEN_PATH, data=FORM | secret)
    answer = guarded.client.post(OTLP, json=traces(), headers=bearer(foreign.json()["access_token"]))
    assert (answer.status_code, answer.json()["message"]) == (401, "the token was not issued here")
    other_tenant = make_scout(tenant="other")
    answer = other_tenant.client.post(OTLP.replace("demo", "other"), json=traces(), headers=bearer(guarded.token()))
    assert (answer.status_code, answer.json()["message"]) == (401, "the token was not issued here")


def test_an_expired_token_is_401(make_scout: Callable[..., ScoutSim]) -> None:
    """A token is refused once its lifetime is over."""
    running = make_scout(token_lifetime_s=1)
    headers = bearer(running.token())

    def is_refused() -> bool:
        return running.client.post(OTLP, json=traces(), headers=headers).status_code == 401

    running.process.wait_until(is_refused)
    answer = running.client.post(OTLP, json=traces(), headers=headers)
    assert answer.json()["message"] == "the token has expired"
    assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert running.client.post(OTLP, json=traces(), headers=bearer(running.token())).status_code == 200
