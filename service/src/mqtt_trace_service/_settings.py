"""Settings of every service, of health probes, and of a service that connects to a broker."""

import ssl
from functools import cached_property
from typing import Annotated, Literal, Self, TypeVar, overload

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from pydantic import AfterValidator, Field, FilePath, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from mqtt_trace._errors import ConfigurationError
from mqtt_trace_service._address import host_and_port, without_brackets
from mqtt_trace_service._listen import EVERYWHERE

_LONGEST_TEXT = 65_535

AnyClient = TypeVar("AnyClient", bound=Client)

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]


def _text(text: str) -> str:
    """Check that a text fits into a packet: UTF-8 with a length of two bytes (MQTT 5, section 1.5.4)."""
    try:
        length = len(text.encode())
    except UnicodeEncodeError:
        raise ValueError("must be UTF-8") from None
    if length > _LONGEST_TEXT:
        raise ValueError(f"must have at most {_LONGEST_TEXT} bytes")
    return text


def _secret_text(secret: SecretStr) -> SecretStr:
    _text(secret.get_secret_value())
    return secret


class ServiceSettings(BaseSettings):
    """Environment variables of every service. The variable is the field's name in upper case; empty means unset."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True, extra="ignore")

    log_level: LogLevel = Field(
        default="INFO", description="Level of our own log lines; other packages log from WARNING."
    )


class HealthSettings(ServiceSettings):
    """Environment variables of a service that answers health probes."""

    health_host: str = Field(
        default=EVERYWHERE, description="Address to answer health probes on; :: means all IPv6 and IPv4 addresses."
    )
    health_port: int = Field(
        default=8080, ge=0, le=65535, description="TCP port to answer health probes on; 0 picks a free one."
    )


class BrokerSettings(HealthSettings):
    """Environment variables of a service that connects to an MQTT broker and answers health probes."""

    mqtt_broker_host: Annotated[str, AfterValidator(without_brackets)] = Field(
        default="mosquitto", description="Host name or address of the broker."
    )
    mqtt_broker_port: int = Field(default=1883, ge=1, le=65535, description="TCP port of the broker.")
    mqtt_username: Annotated[str, AfterValidator(_text)] | None = Field(
        default=None, description="User name for CONNECT."
    )
    mqtt_password: Annotated[SecretStr, AfterValidator(_secret_text)] | None = Field(
        default=None, description="Password for CONNECT."
    )
    mqtt_tls: bool = Field(default=False, description="Connect with TLS; certificate and host name are verified.")
    mqtt_tls_ca_file: FilePath | None = Field(
        default=None, description="PEM file of the CAs to trust instead of the system's."
    )
    mqtt_tls_cert_file: FilePath | None = Field(default=None, description="PEM file of the client certificate.")
    mqtt_tls_key_file: FilePath | None = Field(default=None, description="PEM file of the client certificate's key.")
    mqtt_keepalive_s: int = Field(default=30, ge=1, le=65535, description="Keep Alive of CONNECT, in seconds.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.mqtt_password is not None and self.mqtt_username is None:
            raise ConfigurationError(variable="MQTT_PASSWORD", problem="is set, but MQTT_USERNAME is not")
        if self.mqtt_tls_cert_file is not None and self.mqtt_tls_key_file is None:
            raise ConfigurationError(variable="MQTT_TLS_CERT_FILE", problem="is set, but MQTT_TLS_KEY_FILE is not")
        if self.mqtt_tls_key_file is not None and self.mqtt_tls_cert_file is None:
            raise ConfigurationError(variable="MQTT_TLS_KEY_FILE", problem="is set, but MQTT_TLS_CERT_FILE is not")
        if not self.mqtt_tls:
            for variable in ("MQTT_TLS_CA_FILE", "MQTT_TLS_CERT_FILE"):
                # A certificate is only useful with an encrypted connection.
                if getattr(self, variable.lower()) is not None:
                    raise ConfigurationError(variable=variable, problem="is set, but MQTT_TLS is not true")
        return self

    @property
    def broker_address(self) -> str:
        """The broker's address as `HOST:PORT`."""
        return host_and_port(self.mqtt_broker_host, self.mqtt_broker_port)

    @overload
    def make_client(self, client_id: str, *, manual_ack: bool = False) -> Client: ...

    @overload
    def make_client(
        self,
        client_id: str,
        *,
        kind: type[AnyClient],
        protocol: MQTTProtocolVersion,
        tls_context: ssl.SSLContext | None,
    ) -> AnyClient: ...

    def make_client(
        self,
        client_id: str,
        *,
        kind: type[Client] = Client,
        protocol: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv5,
        manual_ack: bool = False,
        tls_context: ssl.SSLContext | None = None,
    ) -> Client:
        """A paho client with callback API version 2, and with the broker's credentials and TLS.

        Args:
            client_id: Its client id.
            kind: Its class.
            protocol: The protocol version that it connects with.
            manual_ack: Whether the program acknowledges messages itself.
            tls_context: A context of its own instead of the shared one.

        Raises:
            mqtt_trace.ConfigurationError: A file without a usable certificate or key.
        """
        client = kind(CallbackAPIVersion.VERSION2, client_id, protocol=protocol, manual_ack=manual_ack)
        if self.mqtt_username is not None:
            password = self.mqtt_password
            client.username_pw_set(self.mqtt_username, password.get_secret_value() if password else None)
        if (context := tls_context or self.tls_context) is not None:
            client.tls_set_context(context)
        return client

    @cached_property
    def tls_context(self) -> ssl.SSLContext | None:
        """The context that clients share, or None without TLS; see `make_tls_context`."""
        return self.make_tls_context()

    def make_tls_context(self) -> ssl.SSLContext | None:
        """Make a context for connections to the broker; None without TLS. Certificate and host name are verified.

        Raises:
            mqtt_trace.ConfigurationError: A file without a usable certificate or key.
        """
        if not self.mqtt_tls:
            return None
        try:
            context = ssl.create_default_context(cafile=self.mqtt_tls_ca_file)
        except OSError as error:
            raise ConfigurationError(
                variable="MQTT_TLS_CA_FILE", problem=f"cannot be used: {error} (got '{self.mqtt_tls_ca_file}')"
            ) from error
        if self.mqtt_tls_cert_file is not None:
            try:
                # With an empty password an encrypted key is an error; without one OpenSSL prompts on the terminal.
                context.load_cert_chain(self.mqtt_tls_cert_file, self.mqtt_tls_key_file, password="")
            except OSError as error:
                raise ConfigurationError(
                    variable="MQTT_TLS_CERT_FILE",
                    problem=f"cannot be used with MQTT_TLS_KEY_FILE: {error} (got '{self.mqtt_tls_cert_file}')",
                ) from error
        return context
