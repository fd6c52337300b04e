"""Encodes spans as the bytes of an OTLP request (opentelemetry-proto, `trace.proto`).

The result is byte for byte that of the SDK's encoder, which creates an object for every field of every attribute and is
the slowest part of a traced publish. This encoder writes a plain span directly: text and number attributes, no events,
no error. It leaves other spans to the SDK's encoder.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import lru_cache
from struct import Struct
from types import MappingProxyType
from typing import Any

from opentelemetry.exporter.otlp.proto.common._internal import _encode_instrumentation_scope, _encode_resource
from opentelemetry.exporter.otlp.proto.common._internal.trace_encoder import _SPAN_KIND_MAP, _encode_span
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, StatusCode
from opentelemetry.util.types import AnyValue

# Caches of recurring attributes, of a destination, a broker or a client. The two limits keep them below 4 MB.
_CACHED = 4_096
_LONGEST_CACHED = 256

_VARINT_BYTES = tuple(bytes([value]) for value in range(0x80))
_CONTINUED = 0x80
_INT64_END = 2**63

# SpanFlags: "is remote" of the parent or the linked span is known; and its value is true.
_LOCAL = 0x100
_REMOTE = 0x300

# Fixed-size fields with their tags: a tag is the field's number and wire type.
_TIMES = Struct("<BQBQ")
_LINK_FLAGS = Struct("<BI")
_SPAN_FLAGS = Struct("<BBI")
_DOUBLE = Struct("<Bd")


def encode_spans(spans: Sequence[ReadableSpan]) -> bytes:
    """An ExportTraceServiceRequest: the spans by resource and scope, in the order of each group's first span."""
    groups: defaultdict[Resource, defaultdict[InstrumentationScope | None, list[bytes]]]
    groups = defaultdict(lambda: defaultdict(list))
    for span in spans:
        groups[span.resource][span.instrumentation_scope or None].append(_span(span))
    return b"".join(_delimited(b"\x0a", _resource_spans(*group)) for group in groups.items())


def _resource_spans(resource: Resource, scopes: dict[InstrumentationScope | None, list[bytes]]) -> bytes:
    scope_spans = (_delimited(b"\x12", _scope_spans(*group)) for group in scopes.items())
    return b"".join((_resource(resource), *scope_spans, _text(b"\x1a", resource.schema_url)))


@lru_cache(_CACHED)
def _resource(resource: Resource) -> bytes:
    return _delimited(b"\x0a", _encode_resource(resource).SerializeToString())


def _scope_spans(scope: InstrumentationScope | None, spans: list[bytes]) -> bytes:
    if scope is None:
        return b"".join((b"\x0a\x00", *spans))
    head = _delimited(b"\x0a", _encode_instrumentation_scope(scope).SerializeToString())
    return b"".join((head, *spans, _text(b"\x1a", scope.schema_url)))


def _span(span: ReadableSpan) -> bytes:
    context, attributes = span.get_span_context(), span.attributes
    if context and isinstance(attributes, MappingProxyType) and _is_plain(span):
        try:
            return _delimited(b"\x12", _plain_span(span, context, attributes))
        except (KeyError, OverflowError, UnicodeEncodeError):
            pass  # an attribute of another type, or one that the SDK's encoder omits
    return _delimited(b"\x12", _encode_span(span).SerializePartialToString())


def _is_plain(span: ReadableSpan) -> bool:
    status = span.status
    return (
        not span.events
        and status.status_code is StatusCode.UNSET
        and not status.description
        and not any(link.attributes or link.dropped_attributes for link in span.links)
    )


def _plain_span(span: ReadableSpan, context: SpanContext, attributes: MappingProxyType[str, AnyValue]) -> bytes:
    """A span whose status is unset.

    Raises:
        KeyError: An attribute of another type.
        OverflowError: A number that does not fit.
        UnicodeEncodeError: Text with an unpaired surrogate.
    """
    parent = span.parent
    parts = [
        _ids(context),
        _trace_state(context),
        b"\x22\x08" + parent.span_id.to_bytes(8) if parent else b"",
        _name(span.name),
        _KINDS[span.kind],
        _TIMES.pack(0x39, span.start_time, 0x41, span.end_time),
    ]
    # Copying the proxied dict takes one step; iterating over the proxy takes several per attribute.
    for key, value in attributes.copy().items():
        parts.append(_ATTRIBUTES[type(value)](key, value))
    parts += (
        _count(b"\x50", span.dropped_attributes),
        _count(b"\x60", span.dropped_events),
        *[_link(link) for link in span.links],
        _count(b"\x70", span.dropped_links),
        b"\x7a\x00",
        _SPAN_FLAGS.pack(0x85, 0x01, _flags(parent)),
    )
    return b"".join(parts)


def _link(link: Link) -> bytes:
    return _delimited(b"\x6a", _ids(link.context) + _LINK_FLAGS.pack(0x35, _flags(link.context)))


def _ids(context: SpanContext) -> bytes:
    return b"\x0a\x10" + context.trace_id.to_bytes(16) + b"\x12\x08" + context.span_id.to_bytes(8)


def _trace_state(context: SpanContext) -> bytes:
    state = context.trace_state
    return _text(b"\x1a", ",".join(f"{key}={value}" for key, value in state.items())) if state else b""


def _flags(context: SpanContext | None) -> int:
    return _REMOTE if context and context.is_remote else _LOCAL


def _name(name: str) -> bytes:
    return _short_name(name) if len(name) <= _LONGEST_CACHED else _long_name(name)


def _long_name(name: str) -> bytes:
    return _text(b"\x2a", name)


_short_name = lru_cache(_CACHED)(_long_name)


def _text_attribute(key: str, value: str) -> bytes:
    return _short_text_attribute(key, value) if len(value) <= _LONGEST_CACHED else _long_text_attribute(key, value)


def _long_text_attribute(key: str, value: str) -> bytes:
    return _attribute(key, _delimited(b"\x0a", value.encode()))


_short_text_attribute = lru_cache(_CACHED)(_long_text_attribute)


@lru_cache(_CACHED)
def _bool_attribute(key: str, value: bool) -> bytes:
    return _attribute(key, b"\x10" + _varint(value))


@lru_cache(_CACHED)
def _int_attribute(key: str, value: int) -> bytes:
    if not -_INT64_END <= value < _INT64_END:
        raise OverflowError(value)
    return _attribute(key, b"\x18" + _varint(value % 2**64))


def _float_attribute(key: str, value: float) -> bytes:
    return _attribute(key, _DOUBLE.pack(0x21, value))


def _attribute(key: str, any_value: bytes) -> bytes:
    return _delimited(b"\x4a", _text(b"\x0a", key) + _delimited(b"\x12", any_value))


def _text(tag: bytes, text: str | None) -> bytes:
    """A string field, omitted when empty (proto3, default values)."""
    return _delimited(tag, text.encode()) if text else b""


def _count(tag: bytes, count: int) -> bytes:
    return tag + _varint(count) if count else b""


def _delimited(tag: bytes, data: bytes) -> bytes:
    return tag + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    if value < _CONTINUED:
        return _VARINT_BYTES[value]
    encoded = bytearray()
    while value >= _CONTINUED:
        encoded.append(value % _CONTINUED | _CONTINUED)
        value //= _CONTINUED
    encoded.append(value)
    return bytes(encoded)


_KINDS = {kind: b"\x30" + _varint(number) for kind, number in _SPAN_KIND_MAP.items()}
_ATTRIBUTES: dict[type, Callable[[str, Any], bytes]] = {
    str: _text_attribute,
    bool: _bool_attribute,
    int: _int_attribute,
    float: _float_attribute,
}
