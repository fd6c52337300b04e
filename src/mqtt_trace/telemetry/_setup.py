"""Set-up and shutdown of the three signals."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.util.types import AttributeValue

Signal = Literal["traces", "logs"]

_NO_ATTRIBUTES: Mapping[str, AttributeValue] = MappingProxyType({})


def setup(
    service_name: str,
    *,
    attributes: Mapping[str, AttributeValue] = _NO_ATTRIBUTES,
    log_level: str = "INFO",
) -> "Telemetry":
    """Set the global providers and logging of this process, configured by the `OTEL_*` variables.

    Args:
        service_name: `service.name`, unless `OTEL_SERVICE_NAME` or `OTEL_RESOURCE_ATTRIBUTES` says otherwise.
        attributes: Attributes of the process's resource, for all three signals.
        log_level: Level of our own loggers; those of other packages log from WARNING on.

    Raises:
        mqtt_trace.ConfigurationError: An `OTEL_*` variable that cannot be used.
    """
    raise NotImplementedError


class Telemetry:
    """The providers of this process."""

    tracer_provider: TracerProvider
    meter_provider: MeterProvider
    logger_provider: LoggerProvider

    def device_tracer_provider(self, attributes: Mapping[str, AttributeValue]) -> TracerProvider:
        """A TracerProvider whose resource is the process's merged with a device's attributes.

        All of them share one span processor; there is nothing to shut down.
        """
        raise NotImplementedError

    def dropped(self) -> Mapping[Signal, int]:
        """How many spans and log records were given up so far: queue full, refused, or not delivered in time."""
        raise NotImplementedError

    def shutdown(self, timeout: float = 10.0) -> None:
        """Export what is waiting and stop, within `timeout` seconds even if the backend is away. Idempotent."""
        raise NotImplementedError
