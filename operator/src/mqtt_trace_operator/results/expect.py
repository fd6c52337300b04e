"""`spec.expect`: thresholds for the results of a fleet's scenario."""

from mqtt_trace_service.scenario import to_seconds
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class _Part(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, frozen=True, extra="ignore")


class MissingContext(_Part):
    """The most readings that may lack a usable trace context for this reason."""

    reason: str
    max: int = 0


class Expect(_Part):
    """`spec.expect`, as it is written; a threshold that is None always holds."""

    lost: int | None = None
    duplicates: int | None = None
    dead_lettered: int | None = None
    missing_context: tuple[MissingContext, ...] = ()
    age_p50: str | None = None
    age_p95: str | None = None
    age_p99: str | None = None
    publish_p99: str | None = None
    connected_within: str | None = None
    drain: str = "30s"

    @property
    def drain_seconds(self) -> float:
        """`drain`, in seconds."""
        return to_seconds(self.drain)
