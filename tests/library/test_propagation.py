"""Contexts to and from user properties."""

from __future__ import annotations

import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage, propagate, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

import mqtt_trace
from mqtt_trace import (
    MissingReason,
    Options,
    context_to_user_properties,
    extract,
    has_trace_context,
    inject,
    user_properties_to_context,
)

TRACE_ID = 0x0AF7651916CD43DD8448EB211C80319C
SPAN_ID = 0xB7AD6B7169203331
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


pytestmark = pytest.mark.usefixtures("default_propagator")


def context_of(
    trace_id: int = TRACE_ID, span_id: int = SPAN_ID, *, sampled: bool = True, state: TraceState | None = None
) -> Context:
    """A context with a span of these ids."""
    flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
    span_context = SpanContext(trace_id, span_id, is_remote=False, trace_flags=flags, trace_state=state)
    return trace.set_span_in_context(NonRecordingSpan(span_context), Context())


def unpack(packed: bytes) -> Any:
    """The properties as a subscriber reads them."""
    properties = Properties(PacketTypes.PUBLISH)
    properties.unpack(packed)
    return properties


def span_context_of(context: Context) -> SpanContext:
    """The ids of a context's span."""
    return trace.get_current_span(context).get_span_context()


def test_a_context_becomes_one_lower_case_user_property_per_field() -> None:
    """The names are `traceparent` and `tracestate`, as any W3C consumer expects them."""
    context = context_of(state=TraceState([("vendor", "value")]))
    assert context_to_user_properties(context) == [("traceparent", TRACEPARENT), ("tracestate", "vendor=value")]


def test_without_a_span_nothing_is_injected() -> None:
    """A program that does not trace publishes what it always did."""
    assert context_to_user_properties(Context()) == []


@given(
    st.integers(1, 2**128 - 1),
    st.integers(1, 2**64 - 1),
    st.booleans(),
    st.dictionaries(
        st.text(string.ascii_lowercase, min_size=1, max_size=8),
        st.text(string.ascii_letters, min_size=1, max_size=8),
        max_size=5,
    ),
)
def test_what_is_injected_is_extracted(trace_id: int, span_id: int, sampled: bool, state: dict[str, str]) -> None:
    """A context survives the way through user properties, whatever its ids, flags and trace state."""
    sent = span_context_of(context_of(trace_id, span_id, sampled=sampled, state=TraceState(list(state.items()))))
    extracted = extract(context_to_user_properties(trace.set_span_in_context(NonRecordingSpan(sent), Context())))
    received = span_context_of(extracted.context)
    assert extracted.missing is None
    assert received.is_remote
    assert (received.trace_id, received.span_id, received.trace_flags) == (trace_id, span_id, sent.trace_flags)
    assert dict(received.trace_state) == state


@given(
    st.lists(
        st.tuples(
            st.one_of(st.sampled_from(["traceparent", "tracestate", "baggage", "Traceparent"]), st.text(max_size=20)),
            st.one_of(st.text(), st.binary(max_size=40).map(lambda b: b.decode("latin-1")), st.just(TRACEPARENT)),
        ),
        max_size=300,
    )
)
def test_hostile_user_properties_never_raise(user_properties: list[tuple[str, str]]) -> None:
    """Any user properties yield either a context or a reason."""
    extracted = extract(user_properties)
    assert span_context_of(extracted.context).is_valid is (extracted.missing is None)


@pytest.mark.parametrize("user_properties", [None, [], [("other", "x")], [("tracestate", "a=b")], [("baggage", "a=b")]])
def test_no_traceparent_is_absent(user_properties: list[tuple[str, str]] | None) -> None:
    """Trace state or baggage alone is not a trace context."""
    assert extract(user_properties).missing is MissingReason.ABSENT


@pytest.mark.parametrize(
    "value",
    [
        "",
        "garbage",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01",
        TRACEPARENT[:-1],
        TRACEPARENT + "-" + "x" * 60_000,
        "\x00\x01\x02",
    ],
)
def test_a_traceparent_that_w3c_rejects_is_malformed(value: str) -> None:
    """The reason differs from that of a message without one, and the context has no span."""
    extracted = extract([("traceparent", value)])
    assert extracted.missing is MissingReason.MALFORMED
    assert not span_context_of(extracted.context).is_valid


def test_two_traceparents_are_both_discarded() -> None:
    """W3C: a traceparent that comes twice is invalid, even when both say the same."""
    assert extract([("traceparent", TRACEPARENT)] * 2).missing is MissingReason.DUPLICATE


def test_trace_state_in_parts_is_joined() -> None:
    """W3C: several tracestate fields are one list."""
    extracted = extract([("traceparent", TRACEPARENT), ("tracestate", "a=1"), ("tracestate", "b=2")])
    assert dict(span_context_of(extracted.context).trace_state) == {"a": "1", "b": "2"}


def test_a_huge_trace_state_costs_the_trace_state_alone() -> None:
    """Hundreds of parts of 60 kB are dropped without losing the trace."""
    extracted = extract([("traceparent", TRACEPARENT), *[("tracestate", "a=" + "x" * 60_000)] * 300])
    assert extracted.missing is None
    assert dict(span_context_of(extracted.context).trace_state) == {}


def test_hundreds_of_other_user_properties_change_nothing() -> None:
    """The context among them is found."""
    others = [(f"other-{number}", "x" * 1000) for number in range(300)]
    extracted = extract([*others, ("traceparent", TRACEPARENT), *others])
    assert extracted.missing is None
    assert span_context_of(extracted.context).trace_id == TRACE_ID


def test_the_guides_functions_agree_with_extract() -> None:
    """`user_properties_to_context` and `has_trace_context` agree with `extract`."""
    good, bad = [("traceparent", TRACEPARENT)], [("traceparent", "x")]
    assert span_context_of(user_properties_to_context(good)).trace_id == TRACE_ID
    assert has_trace_context(good)
    assert not has_trace_context(bad)
    assert not span_context_of(user_properties_to_context(bad)).is_valid


def test_the_callers_properties_are_kept_and_not_changed() -> None:
    """The program's content type, correlation data and user properties are sent with the context."""
    own = Properties(PacketTypes.PUBLISH)
    own.ContentType = "application/json"
    own.CorrelationData = b"\x01\x02"
    own.UserProperty = [("site", "hq"), ("site", "hq2")]
    before = str(own)
    for _ in range(2):
        packed = unpack(inject(own, context_of()).pack())
        assert packed.UserProperty == [("site", "hq"), ("site", "hq2"), ("traceparent", TRACEPARENT)]
        assert (packed.ContentType, packed.CorrelationData) == ("application/json", b"\x01\x02")
    assert str(own) == before


def test_a_context_that_is_passed_on_is_replaced() -> None:
    """Properties of a received message can be published again without a second traceparent."""
    received = inject(None, context_of(span_id=1))
    again = inject(received, context_of(span_id=2))
    assert [name for name, _ in again.UserProperty] == ["traceparent"]
    assert span_context_of(extract(again.UserProperty).context).span_id == 2


def test_baggage_stays_unless_it_is_allowed() -> None:
    """By default no baggage leaves the process; with a list, its entries do."""
    context = baggage.set_baggage("user", "ada", baggage.set_baggage("tenant", "acme", context_of()))
    assert [name for name, _ in context_to_user_properties(context, options=Options())] == ["traceparent"]
    allowed = context_to_user_properties(context, options=Options(baggage_keys=frozenset({"tenant"})))
    assert dict(allowed)["baggage"] == "tenant=acme"


@given(st.dictionaries(st.text(string.ascii_lowercase, min_size=1, max_size=9), st.text(max_size=60), max_size=20))
def test_baggage_keeps_within_its_budget(entries: dict[str, str]) -> None:
    """The serialized baggage of a message is never larger than `baggage_max_bytes`."""
    context = context_of()
    for name, value in entries.items():
        context = baggage.set_baggage(name, value, context)
    options = Options(baggage_keys=frozenset(entries), baggage_max_bytes=100)
    assert len(dict(context_to_user_properties(context, options=options)).get("baggage", "")) <= 100


def test_baggage_of_a_message_is_restored() -> None:
    """A consumer gets the baggage entries that the publisher sent."""
    context = user_properties_to_context([("traceparent", TRACEPARENT), ("baggage", "tenant=acme")])
    assert baggage.get_baggage("tenant", context) == "acme"


class _WatchedBaggagePropagator(W3CBaggagePropagator):
    """Keeps what it was given."""

    def extract(
        self, carrier: CarrierT, context: Context | None = None, getter: Getter[CarrierT] = default_getter
    ) -> Context:
        self.given = getter.get(carrier, "baggage")
        return super().extract(carrier, context, getter)


@pytest.mark.parametrize("blanks", [" " * 8_000, "\t" * 8_000, " \t" * 4_000])
def test_blanks_in_baggage_cost_no_time(blanks: str) -> None:
    """No run of blanks reaches OpenTelemetry, whose parsing time grows with the square of its length."""
    watched = _WatchedBaggagePropagator()
    propagate.set_global_textmap(CompositePropagator([TraceContextTextMapPropagator(), watched]))
    extracted = extract([("traceparent", TRACEPARENT), ("baggage", f"tenant=acme{blanks}, site = hq")])
    assert watched.given == ["tenant=acme , site = hq"]
    assert baggage.get_all(extracted.context) == {"tenant": "acme", "site": "hq"}


class _UpperCasePropagator(TextMapPropagator):
    """A propagator like B3, which names its fields like HTTP headers."""

    def extract(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        getter: Getter[CarrierT] = default_getter,
    ) -> Context:
        found = getter.get(carrier, "X-Test-TraceId")
        return trace.set_span_in_context(
            NonRecordingSpan(SpanContext(int(found[0], 16), SPAN_ID, is_remote=True)) if found else trace.INVALID_SPAN,
            context,
        )

    def inject(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        setter: Setter[CarrierT] = default_setter,
    ) -> None:
        setter.set(carrier, "X-Test-TraceId", f"{trace.get_current_span(context).get_span_context().trace_id:x}")

    @property
    def fields(self) -> set[str]:
        return {"X-Test-TraceId"}


def test_any_configured_propagator_is_used_in_lower_case() -> None:
    """Names are in lower case on the wire, and a propagator with other spellings finds them."""
    propagate.set_global_textmap(_UpperCasePropagator())
    sent = context_to_user_properties(context_of())
    assert [name for name, _ in sent] == ["x-test-traceid"]
    assert span_context_of(extract(sent).context).trace_id == TRACE_ID


def test_a_propagator_that_fails_costs_the_context_alone() -> None:
    """An exception from a propagator counts as a malformed context."""
    propagate.set_global_textmap(_UpperCasePropagator())
    assert extract([("x-test-traceid", "not hex")]).missing is MissingReason.MALFORMED


def test_the_public_names_are_sorted_and_exist() -> None:
    """`__all__` is what a user may import."""
    assert mqtt_trace.__all__ == sorted(mqtt_trace.__all__)
    assert all(hasattr(mqtt_trace, name) for name in mqtt_trace.__all__)
