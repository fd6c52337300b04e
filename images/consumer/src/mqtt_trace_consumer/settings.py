"""The consumer's settings."""

from __future__ import annotations

import re
import socket
from typing import Annotated, Self

from mqtt_trace_service import BrokerSettings
from pydantic import AfterValidator, Field, HttpUrl, model_validator

from mqtt_trace import ConfigurationError
from mqtt_trace.topics import is_topic_filter

_MAX_U32 = 2**32 - 1
_LONGEST_TOPIC = 32_767
"""Half of MQTT's limit (section 1.5.4), so that a dead letter's topic fits too."""
_LONGEST_LEVEL = 1_024
_ORDINAL = re.compile(r"-(\d{1,9})$")


def _level(text: str) -> str:
    if not text or any(character in text for character in "+#/\0") or len(text.encode()) > _LONGEST_LEVEL:
        raise ValueError(f"must be one topic level: 1 to {_LONGEST_LEVEL} bytes, without + # and /")
    return text


def _topic_filter(text: str) -> str:
    _levels(text)
    if not is_topic_filter(text):
        raise ValueError("+ must be a whole level, and # the whole last level (MQTT 5, section 4.7.1)")
    return text


def _topic(text: str) -> str:
    if any("+" in level or "#" in level for level in _levels(text)):
        raise ValueError("must be a topic, without + and #")
    return text


def _levels(text: str) -> list[str]:
    if not text or "\0" in text or len(text.encode()) > _LONGEST_TOPIC:
        raise ValueError(f"must have 1 to {_LONGEST_TOPIC} bytes, without U+0000")
    if text.startswith("$share/"):
        raise ValueError("must be the filter alone; MQTT_SHARE_GROUP names the group of a shared subscription")
    if text.startswith("$"):
        raise ValueError("must not begin with $: those topics are the broker's own")
    return text.split("/")


def _reachable(url: HttpUrl) -> HttpUrl:
    try:
        (url.host or "").encode("idna")  # as it is looked up
    except UnicodeError:
        raise ValueError("must have a host whose labels have 1 to 63 characters") from None
    return url


class Settings(BrokerSettings):
    """Environment variables of the consumer."""

    mqtt_topic_filter: Annotated[str, AfterValidator(_topic_filter)] = Field(
        default="sensors/+/reading", description="Topic filter of the readings."
    )
    mqtt_share_group: Annotated[str, AfterValidator(_level)] | None = Field(
        default=None, description="Group of a shared subscription; replicas of one group share the readings."
    )
    mqtt_client_id: Annotated[str, AfterValidator(_level)] = Field(
        default_factory=lambda: f"mqtt-trace-consumer-{socket.gethostname()}",
        description="Client id and name of the session; each replica needs its own, the same after each restart.",
    )
    mqtt_session_expiry_s: int = Field(
        default=86_400, ge=1, le=_MAX_U32, description="Seconds for which readings wait while this replica is away."
    )
    receive_maximum: int = Field(
        default=64, ge=1, le=65_535, description="Maximum number of unacknowledged readings that the broker may send."
    )
    echo_url: Annotated[HttpUrl, AfterValidator(_reachable)] = Field(
        default=HttpUrl("http://echo:8000/echo"), description="URL to which each reading is posted."
    )
    echo_timeout_s: float = Field(
        default=10.0, gt=0, le=3_600, allow_inf_nan=False, description="Seconds until a call to echo counts as failed."
    )
    echo_concurrency: int = Field(default=16, ge=1, le=1_000, description="Maximum number of concurrent calls to echo.")
    echo_max_tries: int = Field(
        default=3, ge=1, le=1_000, description="Tries of a reading that echo refuses before it is dead-lettered."
    )
    dead_letter_topic_prefix: Annotated[str, AfterValidator(_topic)] = Field(
        default="dead-letter", description="A dead letter's topic is this, a slash and the original topic."
    )
    drain_timeout_s: float = Field(
        default=10.0, ge=0, le=3_600, allow_inf_nan=False, description="Seconds to finish readings after SIGTERM."
    )

    @property
    def leaves_for_good(self) -> bool:
        """Whether this replica ends its session when it stops.

        A StatefulSet removes its highest ordinals first and may never start them again. Ordinal 0 stays, and its
        session keeps readings while no replica runs. Without a shared subscription, no other replica would receive the
        readings.
        """
        ordinal = _ORDINAL.search(self.mqtt_client_id)
        return self.mqtt_share_group is not None and ordinal is not None and int(ordinal.group(1)) >= 1

    @model_validator(mode="after")
    def _dead_letters_must_not_come_back(self) -> Self:
        readings = self.mqtt_topic_filter.split("/")
        if overlap([*self.dead_letter_topic_prefix.split("/"), *readings], readings):
            raise ConfigurationError(
                variable="DEAD_LETTER_TOPIC_PREFIX",
                problem=f"dead letters would match MQTT_TOPIC_FILTER {self.mqtt_topic_filter!r} and be consumed again "
                f"(got {self.dead_letter_topic_prefix!r})",
            )
        return self


def overlap(one: list[str], other: list[str]) -> bool:
    """Whether some topic matches both filters, given as lists of levels (MQTT 5, section 4.7.1)."""
    if one[:1] == ["#"] or other[:1] == ["#"]:
        return True  # it also matches the parent level
    if not one or not other:
        return one == other
    if one[0] == other[0] or "+" in (one[0], other[0]):
        return overlap(one[1:], other[1:])
    return False
