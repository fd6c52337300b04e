"""Settings that every service has, and those of a service that talks to a broker."""

import ssl
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]


class ServiceSettings(BaseSettings):
    """Environment variables of every service. The variable is the field's name in upper case; empty means unset."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True, extra="ignore")

    log_level: LogLevel = Field(default="INFO", description="Level of our own log lines; other packages: WARNING.")


class BrokerSettings(ServiceSettings):
    """Environment variables of a service that talks to an MQTT broker and answers health probes."""

    mqtt_broker_host: str = Field(default="mosquitto")
    mqtt_broker_port: int = Field(default=1883, ge=1, le=65535)
    mqtt_username: str | None = Field(default=None)
    mqtt_password: SecretStr | None = Field(default=None)
    mqtt_tls: bool = Field(default=False)
    mqtt_tls_ca_file: Path | None = Field(default=None)
    mqtt_tls_cert_file: Path | None = Field(default=None)
    mqtt_tls_key_file: Path | None = Field(default=None)
    mqtt_keepalive_s: int = Field(default=30, ge=1, le=65535)
    health_host: str = Field(default="0.0.0.0")  # noqa: S104 - a pod's probes come from outside the process
    health_port: int = Field(default=8080, ge=0, le=65535)

    def tls_context(self) -> ssl.SSLContext | None:
        """The context for the broker's connection, or None without TLS; certificate and host name are verified."""
        raise NotImplementedError
