"""The settings of scout-sim, from environment variables."""

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
        default="demo",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="tenant of Scout, in the paths of tokens and OTLP",
    )
    client_id: str = Field(default="scout-sim", min_length=1, description="OAuth2 client that may send telemetry")
    client_secret: SecretStr = Field(default=SecretStr("scout-sim-secret"), description="secret of that client")
    token_lifetime_s: PositiveInt = Field(default=300, description="lifetime of a token in seconds")
    require_token: bool = Field(
        default=True, description="false: accept OTLP without a token, and at /v1/{traces,metrics,logs} as well"
    )
    database: str = Field(default=":memory:", min_length=1, description="path of the SQLite file, or :memory:")
    max_spans: PositiveInt = Field(
        default=200_000, description="spans to keep, about 2 kB each; the oldest traces are dropped first, as a whole"
    )
    max_metric_points: PositiveInt = Field(
        default=50_000, description="metric series to keep, the latest point of each"
    )
    max_logs: PositiveInt = Field(default=100_000, description="log records to keep; the oldest are dropped first")

    @field_validator("client_secret")
    @classmethod
    def _not_empty(cls, secret: SecretStr) -> SecretStr:
        if not secret.get_secret_value():
            raise ValueError("must not be empty")
        return secret


def variables() -> list[tuple[str, str, str]]:
    """The name, default and description of each variable."""
    return [
        (f"{PREFIX}{name.upper()}", _as_text(field.default), field.description or "")
        for name, field in Settings.model_fields.items()
    ]


def describe_errors(error: ValidationError) -> list[str]:
    """Describe each wrong value as `VARIABLE: cause`, without the value, which may be a secret."""
    return [
        f"{PREFIX}{str(problem['loc'][0]).upper()}: {problem['msg'].removeprefix('Value error, ')}"
        for problem in error.errors()
    ]


def _as_text(default: object) -> str:
    if isinstance(default, SecretStr):
        return default.get_secret_value()
    return str(default).lower() if isinstance(default, bool) else str(default)
