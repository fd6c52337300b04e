"""The settings of the check."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from mqtt_trace.service import BrokerSettings


def _http_address(text: str) -> str:
    try:
        url = urlsplit(text)
        host = (url.hostname or "").encode("idna")  # as it is looked up
        usable = url.scheme in {"http", "https"} and bool(host) and url.port != 0
    except ValueError:  # a port that is no number, an IPv6 address that is none, a label that is empty or too long
        usable = False
    if not usable:
        raise ValueError("must be an http(s):// address")
    return text


HttpAddress = Annotated[str, AfterValidator(_http_address)]
Seconds = Annotated[float, Field(allow_inf_nan=False, gt=0, le=600)]


class CheckSettings(BrokerSettings):
    """Environment variables of the check."""

    check_timeout_s: Seconds = Field(default=60, description="Seconds that each step may take.")
    scout_sim_url: HttpAddress | None = Field(
        default=None, description="Base address of scout-sim, where the trace is looked up when it is the backend."
    )
    collector_metrics_url: HttpAddress | None = Field(
        default=None,
        description="The Collector's own metrics, which are looked at when the backend is not scout-sim.",
    )
    scout_secret_name: str | None = Field(
        default=None, description="Secret that the four values below come from; empty without a Collector of ours."
    )
    scout_client_id: str | None = Field(default=None, description="As the Collector has it.")
    scout_client_secret: SecretStr | None = Field(default=None, description="As the Collector has it.")
    scout_token_url: HttpAddress | None = Field(default=None, description="As the Collector has it.")
    scout_otlp_endpoint: HttpAddress | None = Field(default=None, description="As the Collector has it.")
    next_broker: str = Field(
        default="read the broker's log", description="What to do next when the broker is at fault."
    )
    next_consumer: str = Field(
        default="read the consumer's log", description="What to do next when the consumer is at fault."
    )
    next_echo: str = Field(default="read echo's log", description="What to do next when echo is at fault.")
    next_collector: str = Field(
        default="read the Collector's log", description="What to do next when the Collector or Scout is at fault."
    )
    next_secret: str = Field(
        default="look at the Secret's keys", description="What to do next when a key of the Secret is missing."
    )

    def missing_keys(self) -> list[str]:
        """Keys of the Secret whose values did not arrive."""
        values = {
            "client-id": self.scout_client_id,
            "client-secret": self.scout_client_secret,
            "token-url": self.scout_token_url,
            "endpoint": self.scout_otlp_endpoint,
        }
        return [key for key, value in values.items() if not value] if self.scout_secret_name else []
