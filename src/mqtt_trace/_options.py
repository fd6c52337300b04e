"""Options of propagation and spans, read from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from mqtt_trace._errors import ConfigurationError
from mqtt_trace.topics import is_topic_filter


class Relation(StrEnum):
    """How a process span relates to the publish span whose context its message carried.

    ``PARENT`` is a child, ``LINK`` a trace of its own with a link, ``BOTH`` a child with a link.
    """

    PARENT = "parent"
    LINK = "link"
    BOTH = "both"


class Conventions(StrEnum):
    """Which names of the messaging semantic conventions are emitted.

    ``GUIDE`` uses `publish` where conventions 1.28 and later use `send`; ``STABLE`` follows those, and names a span by
    the template of its destination if that is known; ``DUPLICATE`` adds the older attribute names to the new ones.
    Where only one value is possible, as for the span's name, it uses the new one.
    """

    GUIDE = ""
    STABLE = "messaging"
    DUPLICATE = "messaging/dup"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Options for all spans and messages of a process.

    Attributes:
        relation: Policy for process spans of messages that are not retained; the conventions' policy by default.
        trusted_topics: Filters of the topics whose contexts are continued; others are linked to, and their baggage is
            left out. None: every topic is trusted.
        baggage_keys: Baggage entries that may leave the process; all others stay.
        baggage_max_bytes: Bound on the serialized baggage of one message; entries beyond it stay.
        json_fallback: Carry the context in a `_trace` key of JSON payloads on connections without user properties.
        conventions: Names of the messaging conventions.
    """

    relation: Relation | None = None
    trusted_topics: tuple[str, ...] | None = None
    baggage_keys: frozenset[str] = frozenset()
    baggage_max_bytes: int = 1024
    json_fallback: bool = False
    conventions: Conventions = Conventions.GUIDE

    @property
    def effective_relation(self) -> Relation:
        """The chosen relation, or the default of the conventions: newer ones require the link (1.44)."""
        if self.relation is not None:
            return self.relation
        return Relation.PARENT if self.conventions is Conventions.GUIDE else Relation.BOTH

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Options:
        """Read ``MQTT_TRACE_*`` and ``OTEL_SEMCONV_STABILITY_OPT_IN``; an empty variable counts as unset.

        Raises:
            ConfigurationError: A variable has an invalid value.
        """
        default = cls()
        return cls(
            relation=_relation(environ.get("MQTT_TRACE_RELATION", "")),
            trusted_topics=_filters("MQTT_TRACE_TRUSTED_TOPICS", environ),
            baggage_keys=frozenset(_items(environ.get("MQTT_TRACE_BAGGAGE_KEYS", ""))),
            baggage_max_bytes=_size("MQTT_TRACE_BAGGAGE_MAX_BYTES", environ, default.baggage_max_bytes),
            json_fallback=_flag("MQTT_TRACE_JSON_FALLBACK", environ),
            conventions=_conventions(environ.get("OTEL_SEMCONV_STABILITY_OPT_IN", "")),
        )


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _relation(text: str) -> Relation | None:
    if not text.strip():
        return None
    try:
        return Relation(text.strip().lower())
    except ValueError:
        problem = f"must be parent, link or both (got {text!r})"
        raise ConfigurationError(variable="MQTT_TRACE_RELATION", problem=problem) from None


def _filters(variable: str, environ: Mapping[str, str]) -> tuple[str, ...] | None:
    """The filters, None if the variable is not set. A typo that leaves no filter must not make every topic trusted."""
    value = environ.get(variable, "")
    if not value.strip():
        return None
    filters = _items(value)
    if not filters:
        problem = f"must name topic filters, separated by commas (got {value!r})"
        raise ConfigurationError(variable=variable, problem=problem)
    for text in filters:
        if not is_topic_filter(text):
            problem = f"+ must be a whole level, and # the whole last level (MQTT 5, section 4.7.1; got {text!r})"
            raise ConfigurationError(variable=variable, problem=problem)
    return tuple(filters)


def _size(variable: str, environ: Mapping[str, str], default: int) -> int:
    text = environ.get(variable, "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdigit()):
        raise ConfigurationError(variable=variable, problem=f"must be a number of bytes, 0 or more (got {text!r})")
    return int(text)


def _flag(variable: str, environ: Mapping[str, str]) -> bool:
    text = environ.get(variable, "").strip().lower()
    if text not in {"", "true", "false"}:
        raise ConfigurationError(variable=variable, problem=f"must be true or false (got {text!r})")
    return text == "true"


def _conventions(text: str) -> Conventions:
    """`messaging/dup` wins over `messaging`, as the conventions require; values for other domains are ignored."""
    chosen = _items(text)
    for candidate in (Conventions.DUPLICATE, Conventions.STABLE):
        if candidate.value in chosen:
            return candidate
    return Conventions.GUIDE
