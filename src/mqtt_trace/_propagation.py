"""Trace context across the broker: OpenTelemetry contexts to and from the user properties of PUBLISH packets.

The format is that of the configured OpenTelemetry propagator, with W3C Trace Context and Baggage as the default, one
user property per field (MQTT 5, section 3.3.2.3.7). Names are written in lower case and read in any case.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote_plus

from opentelemetry import baggage, trace
from opentelemetry.context import Context, get_current
from opentelemetry.propagators.textmap import Getter, TextMapPropagator
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from mqtt_trace._errors import ConfigurationError
from mqtt_trace._guard import Guard
from mqtt_trace._options import Options
from mqtt_trace._paho.properties import PublishProperties, fitting
from mqtt_trace._paho.tolerant import unpack

UserProperties = list[tuple[str, str]]
"""User properties as in paho: name and value pairs, in order; names may repeat."""

_MERGEABLE = {"tracestate", "baggage"}
"""Fields that may have several parts, which W3C joins with commas; any other field must occur once."""
_MAX_LENGTH = 8192
"""W3C Baggage requires at least 8192 bytes; no field of a message needs more."""
_RUN_OF_BLANKS = re.compile(r"[ \t]{2,}")
"""OpenTelemetry's time to parse baggage grows with the square of their length: 8 kB take 35 ms."""

_EMPTY = Context()
_NOT_WRITTEN = Guard("a message carries no context")
_NOT_READ = Guard("the context of a message is not read")
_PACKED_BY_PAHO = frozenset({Properties, PublishProperties})


class MissingReason(StrEnum):
    """Why a message has no usable trace context."""

    ABSENT = "absent"
    MALFORMED = "malformed"
    DUPLICATE = "duplicate"
    MQTT311 = "mqtt311"


class Extracted(NamedTuple):
    """The context of a message, or why there is none.

    Attributes:
        context: The restored context; empty when it is missing.
        missing: Why it contains no remote span; None if it contains one.
    """

    context: Context = _EMPTY
    missing: MissingReason | None = None


def inject(
    properties: Properties | None = None, context: Context | None = None, *, options: Options | None = None
) -> PublishProperties:
    """Return PUBLISH properties with the context and everything in `properties`.

    `properties` itself is not changed, so you can use it for any number of messages. A context that it already
    contains, as in a forwarded message, is replaced completely. A client that is instrumented, or has a
    `TracedPublisher`, leaves the context out of a packet that would be too large for its broker. If the context cannot
    be written, nothing is added, and the first error of each kind is logged.

    Args:
        properties: The caller's own PUBLISH properties.
        context: The context to carry; the current one by default.
        options: Baggage policy; that of the environment by default.

    Raises:
        ConfigurationError: `OTEL_PROPAGATORS` names a propagator that is not installed.
    """
    propagator()
    if properties is not None and type(properties) not in _PACKED_BY_PAHO:
        properties = _as_packed(properties)
    with _NOT_WRITTEN:
        return carrying(properties, context, options)
    return _unchanged(properties)


def carrying(properties: Properties | None, context: Context | None, options: Options | None) -> PublishProperties:
    """As `inject`, but errors in writing the context are raised."""
    added = fitting(serialized(context, options))
    if properties is None:
        return PublishProperties(added, without_context=[])
    if type(properties) not in _PACKED_BY_PAHO:
        properties = _as_packed(properties)
    there: UserProperties = getattr(properties, "UserProperty", [])
    replaced = {name for name, _ in added}
    if not replaced <= _MERGEABLE and any(name.lower() in _identifying(propagator()) for name, _ in there):
        replaced |= _names_read(propagator(), there) | _fields(propagator())
    kept = [pair for pair in there if pair[0].lower() not in replaced]
    # From properties that already carry our context, take the program's own part.
    own: UserProperties | None = vars(properties).get("without_context")
    return PublishProperties(kept + added, properties, without_context=there if own is None else own)


def context_to_user_properties(context: Context | None = None, *, options: Options | None = None) -> UserProperties:
    """Serialize a context, the current one by default, into user properties.

    Raises:
        ConfigurationError: `OTEL_PROPAGATORS` names a propagator that is not installed.
    """
    propagator()
    with _NOT_WRITTEN:
        return serialized(context, options)
    return []


def serialized(context: Context | None, options: Options | None) -> UserProperties:
    """As `context_to_user_properties`, but errors in writing the context are raised."""
    carrier: dict[str, str] = {}
    propagator().inject(carrier, context=_with_allowed_baggage(context, options))
    return [(name.lower(), value) for name, value in carrier.items()]


def extract(user_properties: Iterable[tuple[str, str]] | None) -> Extracted:
    """Restore the context of a message, or say why there is none; no content of a message raises an error.

    Raises:
        ConfigurationError: `OTEL_PROPAGATORS` names a propagator that is not installed.
    """
    propagator()
    with _NOT_READ:
        return _extracted(user_properties)
    return Extracted(missing=MissingReason.MALFORMED)


def _extracted(user_properties: Iterable[tuple[str, str]] | None) -> Extracted:
    carrier: dict[str, str] = {}
    identifying = _identifying(propagator())
    for spelt, value in user_properties or ():
        name = spelt.lower()
        if name not in carrier:
            carrier[name] = value
        elif name in identifying:
            return Extracted(missing=MissingReason.DUPLICATE)
        elif name in _MERGEABLE and len(carrier[name]) <= _MAX_LENGTH:
            carrier[name] += f",{value}"
    if carrier.keys().isdisjoint(identifying):
        return Extracted(missing=MissingReason.ABSENT)
    carrier = {name: value for name, value in carrier.items() if len(value) <= _MAX_LENGTH}
    if "baggage" in carrier:
        carrier["baggage"] = _RUN_OF_BLANKS.sub(" ", carrier["baggage"])
    return _restore(carrier)


def user_properties_to_context(user_properties: Iterable[tuple[str, str]] | None) -> Context:
    """Restore the context of a message; an empty context if it has no usable one.

    Raises:
        ConfigurationError: `OTEL_PROPAGATORS` names a propagator that is not installed.
    """
    return extract(user_properties).context


def has_trace_context(user_properties: Iterable[tuple[str, str]] | None) -> bool:
    """Whether the user properties contain a usable trace context.

    Raises:
        ConfigurationError: `OTEL_PROPAGATORS` names a propagator that is not installed.
    """
    return extract(user_properties).missing is None


def propagator() -> TextMapPropagator:
    """The configured one.

    Raises:
        ConfigurationError: `OTEL_PROPAGATORS` names one that is not installed.
    """
    try:
        # The module reads the variable at import; our services must be able to check it before.
        from opentelemetry.propagate import get_global_textmap  # noqa: PLC0415 - see above
    except ValueError as error:
        raise ConfigurationError(variable="OTEL_PROPAGATORS", problem=str(error)) from error
    return get_global_textmap()


def mark_traced(properties: Properties | None) -> Properties:
    """Properties without our context; if possible, they show an instrumented client that a span exists."""
    return properties if type(properties) not in _PACKED_BY_PAHO and properties is not None else _unchanged(properties)


def _unchanged(properties: Properties | None) -> PublishProperties:
    return PublishProperties(getattr(properties, "UserProperty", []), properties)


def _as_packed(properties: Properties) -> Properties:
    """The packed content of properties of a program's own class, which may differ from their attributes."""
    packed = Properties(PacketTypes.PUBLISH)
    unpack(packed, properties.pack())
    return packed


class _LowerCaseGetter(Getter[Mapping[str, str]]):
    """Propagators may look up `X-Amzn-Trace-Id`; the carrier has all names in lower case."""

    def get(self, carrier: Mapping[str, str], key: str) -> list[str] | None:
        value = carrier.get(key.lower())
        return None if value is None else [value]

    def keys(self, carrier: Mapping[str, str]) -> list[str]:
        return list(carrier)


class _RecordingGetter(_LowerCaseGetter):
    """Records the names that are looked up."""

    def __init__(self) -> None:
        self.asked: set[str] = set()

    def get(self, carrier: Mapping[str, str], key: str) -> list[str] | None:
        self.asked.add(key.lower())
        return super().get(carrier, key)


_GETTER = _LowerCaseGetter()


@lru_cache(maxsize=8)
def _fields(propagator: TextMapPropagator) -> frozenset[str]:
    """The fields that a propagator writes or reads: B3's single-field form also reads the other form."""
    return frozenset(name.lower() for name in propagator.fields) | _names_read(propagator, ())


@lru_cache(maxsize=8)
def _identifying(propagator: TextMapPropagator) -> frozenset[str]:
    """The fields that a trace context requires."""
    return _fields(propagator) - _MERGEABLE


def _names_read(propagator: TextMapPropagator, user_properties: Iterable[tuple[str, str]]) -> frozenset[str]:
    """The names that a propagator reads from a message; each entry of Jaeger's baggage has its own name."""
    getter = _RecordingGetter()
    with suppress(Exception):  # as in `_restore`
        propagator.extract({name.lower(): value for name, value in user_properties}, _EMPTY, getter)
    return frozenset(getter.asked)


def _restore(carrier: Mapping[str, str]) -> Extracted:
    context = propagator().extract(carrier, context=_EMPTY, getter=_GETTER)
    if not trace.get_current_span(context).get_span_context().is_valid:
        return Extracted(missing=MissingReason.MALFORMED)
    return Extracted(context)


def _with_allowed_baggage(context: Context | None, options: Options | None) -> Context:
    """Baggage may contain data that other subscribers must not see, so only named entries leave, up to a size."""
    context = get_current() if context is None else context
    entries = baggage.get_all(context)
    if not entries:
        return context
    options = options or Options.from_env()
    allowed = baggage.clear(context)
    size = 0
    for name, value in entries.items():
        size_with = size + len(quote_plus(name)) + len(quote_plus(str(value))) + len("=,")
        if name in options.baggage_keys and size_with <= options.baggage_max_bytes:
            allowed = baggage.set_baggage(name, value, allowed)
            size = size_with
    return allowed
