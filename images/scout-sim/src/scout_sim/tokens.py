"""Bearer tokens for OAuth 2.0 client credentials, as the token endpoint of Scout issues them."""

import base64
import hashlib
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote_plus

import jwt

from scout_sim.settings import Settings

AUDIENCE = "b14collector"
"""The audience of Scout's tokens."""


class TokenRefusedError(Exception):
    """A token request or a Bearer token was refused.

    Attributes:
        status: HTTP status of the answer.
        error: Error code of RFC 6749, 6750 or 8693; empty for a request without a token (RFC 6750, section 3.1).
        description: The cause, for a person.
    """

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(description)
        self.status = status
        self.error = error
        self.description = description


@dataclass(frozen=True)
class Tokens:
    """Issues tokens to the one client of a tenant, and verifies them.

    Tokens are signed, not stored, so that they stay valid over a restart: the Collector keeps its token until it
    expires, and drops the telemetry of a request that is answered with 401.
    """

    tenant: str
    client_id: str
    client_secret: str
    lifetime_s: int

    @classmethod
    def from_settings(cls, settings: Settings) -> "Tokens":
        """Create them from the settings."""
        return cls(
            tenant=settings.tenant,
            client_id=settings.client_id,
            client_secret=settings.client_secret.get_secret_value(),
            lifetime_s=settings.token_lifetime_s,
        )

    def issue(self, form: Mapping[str, str], authorization: str | None) -> str:
        """Issue a token for a client credentials request (RFC 6749, section 4.4).

        Args:
            form: The fields of the request.
            authorization: Its `Authorization` header, for credentials that are not form fields.

        Raises:
            TokenRefusedError: 401 for wrong credentials, 400 for any other error.
        """
        if "grant_type" not in form:
            raise TokenRefusedError(400, "invalid_request", "grant_type is missing")
        if form["grant_type"] != "client_credentials":
            raise TokenRefusedError(400, "unsupported_grant_type", "grant_type must be client_credentials")
        client_id, client_secret = _credentials(form, authorization)
        known_id = secrets.compare_digest(client_id.encode(), self.client_id.encode())
        known_secret = secrets.compare_digest(client_secret.encode(), self.client_secret.encode())
        if not (known_id and known_secret):
            raise TokenRefusedError(401, "invalid_client", "unknown client or wrong client secret")
        if form.get("audience") != AUDIENCE:
            raise TokenRefusedError(400, "invalid_target", f"audience must be {AUDIENCE}")
        now = int(time.time())
        claims = {
            "iss": self.tenant,
            "sub": self.client_id,
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + self.lifetime_s,
        }
        return jwt.encode(claims, self._key(), algorithm="HS256")

    def verify(self, authorization: str | None) -> None:
        """Check an `Authorization: Bearer` header (RFC 6750).

        Raises:
            TokenRefusedError: 401 if the token is absent, expired, or of another tenant.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise TokenRefusedError(401, "", "a Bearer token is required")
        try:
            jwt.decode(token.strip(), self._key(), algorithms=["HS256"], audience=AUDIENCE, issuer=self.tenant)
        except jwt.ExpiredSignatureError:
            raise TokenRefusedError(401, "invalid_token", "the token has expired") from None
        except jwt.InvalidTokenError:
            raise TokenRefusedError(401, "invalid_token", "the token was not issued here") from None

    def _key(self) -> bytes:
        return hashlib.sha256(f"{self.client_id}:{self.client_secret}".encode()).digest()


def _credentials(form: Mapping[str, str], authorization: str | None) -> tuple[str, str]:
    if authorization is None:
        return form.get("client_id", ""), form.get("client_secret", "")
    scheme, _, encoded = authorization.partition(" ")
    try:
        decoded = base64.b64decode(encoded, validate=True).decode() if scheme.lower() == "basic" else ""
    except ValueError:
        decoded = ""
    client_id, separator, client_secret = decoded.partition(":")
    if not separator:
        raise TokenRefusedError(401, "invalid_client", "the Authorization header has no Basic credentials")
    if "client_secret" in form:
        raise TokenRefusedError(400, "invalid_request", "credentials are in the Authorization header and in the form")
    return unquote_plus(client_id), unquote_plus(client_secret)  # RFC 6749, section 2.3.1: both are form-encoded
