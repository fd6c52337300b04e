"""The settings of scout-sim, read from environment variables."""

from typing import Annotated

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "SCOUT_SIM_"
EVERYWHERE = "::"
"""Every address of the machine: those of IPv6 and of IPv4, or of IPv4 alone where the kernel has no IPv6."""

_MAX_INTEGER = 2**63 - 1  # SQLite's

PositiveInt = Annotated[int, Field(ge=1, le=_MAX_INTEGER)]


class Settings(BaseSettings):
    """One field per variable: `SCOUT_SIM_` and the field's name in capitals."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    host: str = Field(
        default=EVERYWHERE, min_length=1, description="address to listen on; :: is every one, of IPv6 and IPv4"
    )
    port: int = Field(default=4320, ge=1, le=65535, description="port to listen on")
    tenant: str = Field(
        default="demo", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="tenant of Scout: realm and path of OTLP"
    )
    client_id: str = Field(default="scout-sim", min_length=1, description="OAuth2 client that may send telemetry")
    client_secret: SecretStr = Field(default=SecretStr("scout-sim-secret"), description="secret of that client")
    token_lifetime_s: PositiveInt = Field(default=300, description="seconds that a token is valid")
    require_token: bool = Field(
        default=True, description="false: take OTLP without a token, and at /v1/{traces,metrics,logs} as well"
    )
    database: str = Field(default=":memory:", min_length=1, description="path of the SQLite file, or :memory:")
    max_spans: PositiveInt = Field(
        default=200_000, description="spans kept, at some 2 kB each; the oldest traces go first, as a whole"
    )
    max_metric_points: PositiveInt = Field(default=50_000, description="metric points kept: the latest of each series")
    max_logs: PositiveInt = Field(default=100_000, description="log records kept; the oldest go first")

    @field_validator("client_secret")
    @classmethod
    def _not_empty(cls, secret: SecretStr) -> SecretStr:
        if not secret.get_secret_value():
            raise ValueError("must not be empty")
        return secret


def variables() -> list[tuple[str, str, str]]:
    """Name, default and meaning of each variable, in the order of the fields."""
    return [
        (f"{PREFIX}{name.upper()}", _as_text(field.default), field.description or "")
        for name, field in Settings.model_fields.items()
    ]


def describe_errors(error: ValidationError) -> list[str]:
    """One `VARIABLE: what was wrong` for each wrong value, without the value: it may be a secret."""
    return [
        f"{PREFIX}{str(problem['loc'][0]).upper()}: {problem['msg'].removeprefix('Value error, ')}"
        for problem in error.errors()
    ]


def _as_text(default: object) -> str:
    if isinstance(default, SecretStr):
        return default.get_secret_value()
    return str(default).lower() if isinstance(default, bool) else str(default)
