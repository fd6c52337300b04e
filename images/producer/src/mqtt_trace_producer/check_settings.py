"""The settings of `mqtt-trace-check`."""

from typing import Annotated
from urllib.parse import urlsplit

from mqtt_trace_service import BrokerSettings
from pydantic import AfterValidator, Field, FilePath, SecretStr


def _http_address(text: str) -> str:
    try:
        url = urlsplit(text)
        host = (url.hostname or "").encode("idna")  # the form that is resolved
        usable = url.scheme in {"http", "https"} and bool(host) and url.port != 0
    except ValueError:  # a wrong port or IPv6 address, an empty or too long label
        usable = False
    if not usable:
        raise ValueError("must be an http(s):// address")
    return text


HttpAddress = Annotated[str, AfterValidator(_http_address)]
Seconds = Annotated[float, Field(allow_inf_nan=False, gt=0, le=600)]


class CheckSettings(BrokerSettings):
    """Environment variables of `mqtt-trace-check`."""

    check_timeout_s: Seconds = Field(default=60, description="Time-out of each step, in seconds.")
    scout_sim_url: HttpAddress | None = Field(
        default=None, description="Base URL of scout-sim, to look up the trace when scout-sim is the backend."
    )
    collector_metrics_url: HttpAddress | None = Field(
        default=None,
        description="URL of the Collector's own metrics, to check delivery when scout-sim is not the backend.",
    )
    collector_exporters: str = Field(
        default="otlp_http/b14", description="The Collector's exporters whose delivery is checked, separated by commas."
    )
    scout_secret_name: str | None = Field(
        default=None, description="Name of the Secret with the four values below; empty without the chart's Collector."
    )
    scout_client_id: str | None = Field(default=None, description="The Collector's value.")
    scout_client_secret: SecretStr | None = Field(default=None, description="The Collector's value.")
    scout_token_url: HttpAddress | None = Field(default=None, description="The Collector's value.")
    scout_otlp_endpoint: HttpAddress | None = Field(default=None, description="The Collector's value.")
    scout_ca_file: FilePath | None = Field(
        default=None, description="File with authorities to trust in addition to the public ones, for the token URL."
    )
    next_broker: str = Field(default="read the broker's log", description="Next step when the broker fails.")
    next_consumer: str = Field(default="read the consumer's log", description="Next step when the consumer fails.")
    next_echo: str = Field(default="read echo's log", description="Next step when echo fails.")
    next_collector: str = Field(
        default="read the Collector's log", description="Next step when the Collector or Scout fails."
    )
    next_secret: str = Field(
        default="check the Secret's keys", description="Next step when a key of the Secret is missing."
    )

    @property
    def exporters(self) -> list[str]:
        """The names in `collector_exporters`."""
        return [name for part in self.collector_exporters.split(",") if (name := part.strip())]

    def missing_keys(self) -> list[str]:
        """Return the keys of the Secret that have no value."""
        values = {
            "client-id": self.scout_client_id,
            "client-secret": self.scout_client_secret,
            "token-url": self.scout_token_url,
            "endpoint": self.scout_otlp_endpoint,
        }
        return [key for key, value in values.items() if not value] if self.scout_secret_name else []
