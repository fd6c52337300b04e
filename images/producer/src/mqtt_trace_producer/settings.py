"""The producer's settings."""

from pathlib import Path
from typing import Annotated, Self

from mqtt_trace_service import BrokerSettings
from mqtt_trace_service.telemetry import FleetPriority
from pydantic import DirectoryPath, Field, FilePath, model_validator

from mqtt_trace import ConfigurationError
from mqtt_trace_producer.device_ids import ends_in_number

Seconds = Annotated[float, Field(allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1, max_length=255)]


class ProducerSettings(BrokerSettings):
    """Environment variables of the producer."""

    # A device's id is its client id and a level of its topic: no separators, wildcards or spaces.
    device_id: str = Field(
        default="sensor-001",
        max_length=255,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]*$",
        description="Id of the first device and of its MQTT client. Ids of further devices count up from it.",
    )
    device_count: int = Field(default=1, ge=1, le=20_000, description="Number of simulated devices.")
    device_firmware_version: Name = Field(default="1.4.2", description="`device.firmware.version` of every device.")
    device_firmware_channel: Name = Field(default="stable", description="`device.firmware.channel` of every device.")
    device_battery_level: float = Field(
        default=100, ge=0, le=100, description="`device.battery.level` of every device, in percent."
    )
    device_buffer_readings: int = Field(
        default=300,
        ge=1,
        le=1_000_000,
        description="Readings that each device buffers while the broker is away; a full buffer drops its oldest.",
    )
    device_passwords_dir: DirectoryPath | None = Field(
        default=None,
        description="Folder with a file per device, named by the id, with its password. The user name is the id. "
        "Replaces MQTT_USERNAME and MQTT_PASSWORD, except for receipts. A file is read again before every attempt to "
        "connect.",
    )
    device_certificates_dir: DirectoryPath | None = Field(
        default=None,
        description="Folder with a PEM file per device, <id>.pem, that contains its certificate and its key. Replaces "
        "MQTT_USERNAME, MQTT_PASSWORD, MQTT_TLS_CERT_FILE and MQTT_TLS_KEY_FILE, except for receipts. A file is read "
        "again before every attempt to connect.",
    )
    device_certificates_port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="TCP port of the broker for devices with certificates; MQTT_BROKER_PORT by default.",
    )
    fleet_file: FilePath | None = Field(
        default=None,
        description="JSON file of a SensorFleet, watched for changes. With it, FLEET_ID, FLEET_PRIORITY, FLEET_TENANT, "
        "SITE_ID, PUBLISH_INTERVAL_S, PUBLISH_QOS and DEVICE_*, except DEVICE_BUFFER_READINGS, have no effect.",
    )
    fleet_pod_index: int | None = Field(
        default=None,
        ge=0,
        le=1_000_000,
        description="Index of this pod in the fleet, from 0, which selects its devices.",
    )
    fleet_id: Name = Field(default="fleet-demo", description="`fleet.id`.")
    fleet_priority: FleetPriority = Field(default="normal", description="`fleet.priority`.")
    fleet_tenant: Name = Field(default="acme", description="`fleet.tenant`.")
    site_id: Name = Field(default="site-hq", description="`site.id`.")
    publish_interval_s: Seconds = Field(
        default=2, ge=0.01, le=86_400, description="Seconds between two readings of a device."
    )
    publish_qos: int = Field(default=1, ge=0, le=2, description="QoS of each PUBLISH; only 1 and 2 are acknowledged.")
    publish_retry_s: Seconds = Field(
        default=60,
        ge=0,
        le=3600,
        description="Seconds for which a reading without subscribers is published again; 0 for never.",
    )
    results_file: Path | None = Field(
        default=None,
        description="File that keeps the results of a scenario over restarts of the container; none by default.",
    )
    results_timeout_s: Seconds = Field(
        default=5,
        ge=0,
        le=600,
        description="Seconds to wait after SIGTERM, with a scenario, for consumers and for `GET /results`.",
    )
    drain_timeout_s: Seconds = Field(
        default=10, ge=0, le=600, description="Seconds to wait for acknowledgements after SIGTERM."
    )

    @model_validator(mode="after")
    def _fleet_is_complete(self) -> Self:
        if self.fleet_file is not None and self.fleet_pod_index is None:
            raise ConfigurationError(variable="FLEET_FILE", problem="is set, but FLEET_POD_INDEX is not")
        if self.fleet_pod_index is not None and self.fleet_file is None:
            raise ConfigurationError(variable="FLEET_POD_INDEX", problem="is set, but FLEET_FILE is not")
        return self

    @model_validator(mode="after")
    def _devices_have_one_identity(self) -> Self:
        if self.device_passwords_dir is not None and self.device_certificates_dir is not None:
            problem = "is set, but so is DEVICE_CERTIFICATES_DIR: use only one"
            raise ConfigurationError(variable="DEVICE_PASSWORDS_DIR", problem=problem)
        if self.device_certificates_dir is not None and not self.mqtt_tls:
            raise ConfigurationError(variable="DEVICE_CERTIFICATES_DIR", problem="is set, but MQTT_TLS is not true")
        if self.device_certificates_port is not None and self.device_certificates_dir is None:
            problem = "is set, but DEVICE_CERTIFICATES_DIR is not"
            raise ConfigurationError(variable="DEVICE_CERTIFICATES_PORT", problem=problem)
        return self

    @property
    def device_credentials_dir(self) -> Path | None:
        """The folder with the devices' own credentials, None if they share those of the settings."""
        return self.device_passwords_dir or self.device_certificates_dir

    def for_devices(self) -> Self:
        """The settings of the devices' connections: without the shared credentials that their own replace."""
        own: dict[str, object] = {}
        if self.device_credentials_dir is not None:
            own |= {"mqtt_username": None, "mqtt_password": None}
        if self.device_certificates_dir is not None:
            own |= {"mqtt_tls_cert_file": None, "mqtt_tls_key_file": None}
        if self.device_certificates_port is not None:
            own |= {"mqtt_broker_port": self.device_certificates_port}
        return self.model_copy(update=own)

    @model_validator(mode="after")
    def _device_ids_can_be_numbered(self) -> Self:
        if self.device_count > 1 and not ends_in_number(self.device_id):
            raise ConfigurationError(
                variable="DEVICE_ID",
                problem=f"must end in a number when DEVICE_COUNT is more than 1 (got {self.device_id!r})",
            )
        return self
