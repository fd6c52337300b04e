"""An error in tracing does not affect a program: messages are sent and handled, with paho's results and errors."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

import pytest
from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.metrics import MeterProvider
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.sdk.metrics import MeterProvider as SdkMeterProvider
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Sampler, SamplingResult
from paho.mqtt.client import Client, MQTTMessage, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from mqtt_trace import (
    ConfigurationError,
    MissingReason,
    Options,
    PublishOutcome,
    TracedConsumer,
    TracedPublisher,
    context_to_user_properties,
    extract,
    has_trace_context,
    inject,
    user_properties_to_context,
)
from tests.library.harness import Instrument, Recorded

Providers = tuple[Any, Any]
TRACEPARENT = "00-" + "1" * 32 + "-" + "2" * 16 + "-01"


def fail(*_: object, **__: object) -> NoReturn:
    """Raise the error of all failing parts here."""
    raise RuntimeError("telemetry")


class FailingToStart(SpanProcessor):
    """A span processor with an error where spans start."""

    on_start = fail


class FailingToEnd(SpanProcessor):
    """A span processor with an error where spans end."""

    on_end = fail


class FailingSampler(Sampler):
    """A sampler with an error in it."""

    def should_sample(self, *_: Any, **__: Any) -> SamplingResult:
        """Fail."""
        fail()

    def get_description(self) -> str:
        """Its name."""
        return "failing"


class FailingIds(IdGenerator):
    """An id generator with an error in it."""

    def generate_span_id(self) -> int:
        """Fail."""
        fail()

    def generate_trace_id(self) -> int:
        """Fail."""
        fail()


class FailingExporter(SpanExporter):
    """An exporter with an error in it."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Fail."""
        fail(spans)


class Failing:
    """An object whose every method fails, except for the given attributes."""

    def __init__(self, **given: object) -> None:
        vars(self).update(given)

    def __getattr__(self, name: str) -> Any:
        """A method that fails."""
        return fail


class FailingSpan(trace.NonRecordingSpan):
    """A span that claims to be recorded, and fails otherwise."""

    def is_recording(self) -> bool:
        """It claims so."""
        return True

    set_attribute = set_attributes = record_exception = set_status = add_event = end = fail


def with_processor(processor: SpanProcessor) -> TracerProvider:
    """A provider with one processor."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    return provider


def spans_that_fail() -> object:
    """A provider of spans that fail."""
    context = trace.SpanContext(1, 1, is_remote=False, trace_flags=trace.TraceFlags(1))
    tracer = Failing(start_span=lambda *_, **__: FailingSpan(context))
    return Failing(get_tracer=lambda *_, **__: tracer)


def meters(meter: object) -> object:
    """A provider of one meter."""
    return Failing(get_meter=lambda *_, **__: meter)


class FailingInstruments:
    """A meter whose instruments fail."""

    create_counter = create_histogram = lambda *_, **__: Failing()


BROKEN: dict[str, Callable[[], Providers]] = {
    "on_start": lambda: (with_processor(FailingToStart()), None),
    "on_end": lambda: (with_processor(FailingToEnd()), None),
    "sampler": lambda: (TracerProvider(sampler=FailingSampler(), shutdown_on_exit=False), None),
    "ids": lambda: (TracerProvider(id_generator=FailingIds(), shutdown_on_exit=False), None),
    "exporter": lambda: (with_processor(SimpleSpanProcessor(FailingExporter())), None),
    "span": lambda: (spans_that_fail(), None),
    "tracer": lambda: (Failing(get_tracer=lambda *_, **__: Failing()), None),
    "tracer provider": lambda: (Failing(), None),
    "meter provider": lambda: (None, Failing()),
    "meter": lambda: (None, meters(Failing())),
    "instruments": lambda: (None, meters(FailingInstruments())),
}


@pytest.fixture(params=BROKEN)
def broken(request: pytest.FixtureRequest) -> Providers:
    """A tracer provider and a meter provider, one of which fails somewhere."""
    return BROKEN[request.param]()


class FailingPropagator(TextMapPropagator):
    """A propagator with an error in it."""

    fields = {"traceparent"}  # noqa: RUF012 - as the API has it
    extract = inject = fail


class FailingFields(FailingPropagator):
    """A propagator that fails even when asked for its fields."""

    @property
    def fields(self) -> set[str]:  # type: ignore[override]  # a property in the API, too
        """Fail."""
        fail()


@pytest.fixture(params=[FailingPropagator, FailingFields])
def broken_propagator(request: pytest.FixtureRequest) -> Iterator[None]:
    """A global propagator that fails."""
    before = propagate.get_global_textmap()
    propagate.set_global_textmap(request.param())
    yield
    propagate.set_global_textmap(before)


@pytest.fixture
def broken_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    """A context runtime that makes nothing the current context."""
    monkeypatch.setattr(otel_context._RUNTIME_CONTEXT, "attach", fail)  # noqa: SLF001 - no other way to set one


def new_client(protocol: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv5) -> Client:
    """A client that is not connected: paho keeps its messages of QoS 1."""
    return Client(CallbackAPIVersion.VERSION2, protocol=protocol)


def message_on(topic: str) -> MQTTMessage:
    """A message with a context."""
    message = MQTTMessage(topic=topic.encode())
    message.properties = Properties(PacketTypes.PUBLISH)
    vars(message.properties)["UserProperty"] = [("traceparent", TRACEPARENT)]
    return message


def kept(client: Client) -> list[tuple[str, bytes]]:
    """The messages that a client would send."""
    return [(one.topic, bytes(one.payload)) for one in client._out_messages.values()]  # noqa: SLF001 - nothing public tells


def acknowledge(client: Client) -> None:
    """What paho does with a PUBACK for each message that the client keeps."""
    for mid in list(client._out_messages):  # noqa: SLF001 - as above
        client._do_on_publish(mid, None, None)  # type: ignore[arg-type]  # noqa: SLF001 - as with MQTT 3.1.1


def publish_all(providers: Providers, caplog: pytest.LogCaptureFixture, protocol: MQTTProtocolVersion) -> None:
    """Publish in every way, and check that only paho's results and errors are seen."""
    client, outcomes = new_client(protocol), list[PublishOutcome]()
    publisher = TracedPublisher(
        client, tracer_provider=providers[0], meter_provider=providers[1], options=Options(json_fallback=True)
    )
    for qos in (1, 2):
        info = publisher.publish("failing/x", "{}", qos, message_id="m", on_outcome=outcomes.append)
        assert (type(info), info.rc) == (MQTTMessageInfo, MQTTErrorCode.MQTT_ERR_NO_CONN)
    assert publisher.publish("failing/x", "x", 0).rc == MQTTErrorCode.MQTT_ERR_NO_CONN
    assert [topic for topic, _ in kept(client)] == ["failing/x"] * 2
    with pytest.raises(ValueError, match="Invalid QoS"):
        publisher.publish("failing/x", "x", 5)
    acknowledge(client)
    assert [outcome.error_type for outcome in outcomes] == [None, None]
    assert (kept(client), publisher.pending) == ([], 0)
    publisher.publish("failing/x", "x", 1, on_outcome=outcomes.append)
    publisher.set_tracer_provider(providers[0])
    publisher.close()
    assert [outcome.error_type for outcome in outcomes] == [None, None, "closed"]
    told_once(caplog)


def told_once(caplog: pytest.LogCaptureFixture) -> None:
    """Check that each kind of error is logged once, and that there is one."""
    lines = [record.getMessage() for record in caplog.records if record.name == "mqtt_trace._guard"]
    assert len(lines) == len(set(lines))
    assert lines or any(record.name.startswith("opentelemetry") for record in caplog.records), "the log does not tell"


@pytest.mark.parametrize("protocol", [MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311])
def test_a_publisher_publishes(
    broken: Providers, caplog: pytest.LogCaptureFixture, protocol: MQTTProtocolVersion
) -> None:
    """Publishing gives paho's results, every outcome, and paho's errors."""
    publish_all(broken, caplog, protocol)


@pytest.mark.parametrize("protocol", [MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311])
@pytest.mark.usefixtures("broken_propagator")
def test_a_publisher_publishes_without_a_propagator(
    recorded: Recorded, caplog: pytest.LogCaptureFixture, protocol: MQTTProtocolVersion
) -> None:
    """The span and a counter record that the context was left out."""
    publish_all((recorded.tracer_provider, recorded.meter_provider), caplog, protocol)
    said = [span.attributes.get("mqtt.omitted_context_reason") for span in recorded.spans]
    # With 3.1.1 only JSON objects can carry a context; `5` and `x` are refused or cannot.
    assert said.count("error") == len(said)
    counted = recorded.points("mqtt.client.omitted_contexts")
    assert {point.attributes["mqtt.omitted_context_reason"] for point in counted} == {"error"}


@pytest.mark.usefixtures("broken_runtime")
def test_a_publisher_publishes_without_a_context_runtime(recorded: Recorded, caplog: pytest.LogCaptureFixture) -> None:
    """Its outcome callbacks are still called."""
    publish_all((recorded.tracer_provider, recorded.meter_provider), caplog, MQTTProtocolVersion.MQTTv5)


def handle_all(providers: Providers, caplog: pytest.LogCaptureFixture) -> None:
    """Handle messages in every way, and check that each is handled once, with only the handler's own errors."""
    client, handled = new_client(), list[MQTTMessage]()
    consumer = TracedConsumer(
        client, ["failing/#"], tracer_provider=providers[0], meter_provider=providers[1], options=Options()
    )
    message = message_on("failing/x")
    consumer.handler(lambda _client, _userdata, one: handled.append(one))(client, None, message)
    with consumer.process(message, message_id="m"):
        handled.append(message)
    with consumer.process_batch([message], link_attributes=fail):
        handled.append(message)
    assert handled == [message] * 3
    with pytest.raises(KeyError, match="own"), consumer.process(message):
        raise KeyError("own")
    with pytest.raises(KeyError, match="own"), consumer.process_batch([message]):
        raise KeyError("own")
    told_once(caplog)


def test_a_consumer_processes(broken: Providers, caplog: pytest.LogCaptureFixture) -> None:
    """Handlers and blocks see each message once."""
    handle_all(broken, caplog)


@pytest.mark.usefixtures("broken_propagator")
def test_a_consumer_processes_without_a_propagator(recorded: Recorded, caplog: pytest.LogCaptureFixture) -> None:
    """The spans exist, and record that no context was read."""
    handle_all((recorded.tracer_provider, recorded.meter_provider), caplog)
    assert [span.attributes["mqtt.missing_context_reason"] for span in recorded.spans] == ["malformed"] * 5


@pytest.mark.usefixtures("broken_runtime")
def test_a_consumer_processes_without_a_context_runtime(recorded: Recorded, caplog: pytest.LogCaptureFixture) -> None:
    """Messages are processed although no span becomes the current one."""
    handle_all((recorded.tracer_provider, recorded.meter_provider), caplog)


def test_what_is_below_a_span_that_did_not_start_continues_the_trace() -> None:
    """Without a process span, the context of the message is the current one."""
    consumer = TracedConsumer(tracer_provider=with_processor(FailingToStart()))
    with consumer.process(message_on("failing/x")):
        assert trace.get_current_span().get_span_context().trace_id == int("1" * 32, 16)


def test_an_instrumented_client_publishes_and_receives(
    broken: Providers, instrument: Instrument, caplog: pytest.LogCaptureFixture
) -> None:
    """Publishing and receiving work with failing hooks and callbacks, subscriptions and a will."""
    instrument(tracer_provider=broken[0], meter_provider=broken[1], publish_hook=fail, process_hook=fail)
    use_all(caplog)


@pytest.mark.usefixtures("broken_propagator")
def test_an_instrumented_client_publishes_and_receives_without_a_propagator(
    instrument: Instrument, caplog: pytest.LogCaptureFixture
) -> None:
    """Publishing and receiving work without the context that cannot be written or read."""
    instrument(publish_hook=fail, process_hook=fail)
    use_all(caplog)


@pytest.mark.usefixtures("broken_runtime")
def test_an_instrumented_client_publishes_and_receives_without_a_context_runtime(
    instrument: Instrument, caplog: pytest.LogCaptureFixture
) -> None:
    """Publishing and receiving work although no span becomes the current one."""
    instrument()
    use_all(caplog)


def use_all(caplog: pytest.LogCaptureFixture) -> None:
    """Use a client in every way, and check that only results of paho and of the program's callbacks are seen."""
    client, handled = new_client(), list[MQTTMessage]()

    def on_message(_client: Client, _userdata: Any, message: MQTTMessage) -> None:
        handled.append(message)
        raise KeyError("own")

    client.on_message = on_message
    message = message_on("failing/x")
    with pytest.raises(KeyError, match="own"):
        client._handle_on_message(message)  # noqa: SLF001 - a message as it comes from the network
    client.suppress_exceptions = True
    client._handle_on_message(message)  # noqa: SLF001 - as above
    assert handled == [message] * 2
    for qos in (1, 2):
        assert client.publish("failing/x", "x", qos).rc == MQTTErrorCode.MQTT_ERR_NO_CONN
    assert client.publish("failing/x", "x", 0).rc == MQTTErrorCode.MQTT_ERR_NO_CONN
    with pytest.raises(ValueError, match="Invalid QoS"):
        client.publish("failing/x", "x", 5)
    assert kept(client) == [("failing/x", b"x")] * 2
    acknowledge(client)
    assert kept(client) == []
    sent: list[bytes] = []
    vars(client)["_packet_queue"] = lambda _command, packet, *_: sent.append(bytes(packet))
    client.will_set("failing/will", "gone")
    client._send_connect(60)  # noqa: SLF001 - what paho sends
    client._send_subscribe(0, [(b"failing/#", SubscribeOptions(1))])  # noqa: SLF001 - as above
    client._send_unsubscribe(0, [b"failing/#"])  # noqa: SLF001 - as above
    assert [packet[0] >> 4 for packet in sent] == [1, 8, 10]
    assert b"failing/will" in sent[0]
    told_once(caplog)


@pytest.mark.usefixtures("broken_propagator")
def test_propagation_by_itself_raises_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """`inject` keeps the program's properties, and `extract` reports a missing context."""
    own = Properties(PacketTypes.PUBLISH)
    own.UserProperty = [("site", "hq")]
    assert inject(own).UserProperty == [("site", "hq")]
    assert inject().pack() == b"\0"
    assert context_to_user_properties() == []
    assert extract([("traceparent", TRACEPARENT)]).missing is MissingReason.MALFORMED
    assert user_properties_to_context([("traceparent", TRACEPARENT)]) == {}
    assert has_trace_context([("traceparent", TRACEPARENT)]) is False
    told_once(caplog)


@pytest.mark.parametrize("pairs", [5, [5], [("a",)], [("a", "b", "c")], [(None, None)], [("traceparent", None)]])
def test_what_are_no_user_properties_are_no_context(pairs: Any) -> None:
    """Any other value in a mock of a message counts as a missing context."""
    assert extract(pairs).missing in {MissingReason.ABSENT, MissingReason.MALFORMED}


def test_a_wrong_variable_is_an_error_where_tracing_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """An invalid variable raises before the first message."""
    monkeypatch.setenv("MQTT_TRACE_RELATION", "child")
    for make in (lambda: TracedPublisher(new_client()), TracedConsumer):
        with pytest.raises(ConfigurationError):
            make()


def test_what_is_no_exception_goes_on_its_way() -> None:
    """A `BaseException` of a span processor propagates."""

    class Interrupted(SpanProcessor):
        def on_start(self, *_: object, **__: object) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        TracedPublisher(new_client(), tracer_provider=with_processor(Interrupted())).publish("failing/x", "x")


class UnprintableError(Exception):
    """An error whose text cannot be read."""

    def __str__(self) -> str:
        """Fail."""
        raise RuntimeError("unprintable")


def test_an_error_that_cannot_be_printed_is_the_program_s_own(recorded: Recorded) -> None:
    """The error propagates, and the span names its type."""
    consumer = TracedConsumer(tracer_provider=recorded.tracer_provider)
    with pytest.raises(UnprintableError), consumer.process(message_on("failing/x")):
        raise UnprintableError
    (span,) = recorded.spans
    assert (span.attributes["error.type"], span.status.is_ok) == ("UnprintableError", False)


def test_a_meter_that_fails_costs_no_span(recorded: Recorded) -> None:
    """A failing meter, or another failing part, affects nothing else."""
    broken: MeterProvider = BROKEN["instruments"]()[1]
    TracedPublisher(new_client(), tracer_provider=recorded.tracer_provider, meter_provider=broken).publish("x", "x")
    with TracedConsumer(tracer_provider=recorded.tracer_provider, meter_provider=broken).process(message_on("x")):
        pass
    assert [span.name for span in recorded.spans] == ["publish x", "process x"]
    assert isinstance(recorded.meter_provider, SdkMeterProvider)


class FailingHandler(logging.Handler):
    """A handler of logs that raises, as one of OpenTelemetry may when a log processor does."""

    def emit(self, record: logging.LogRecord) -> None:
        """Fail."""
        raise RuntimeError(f"no log: {record.getMessage()}")


def test_a_log_handler_that_raises_costs_no_message(broken: Providers) -> None:
    """The program's handler is called even if logging an error in tracing fails."""
    handler, handled = FailingHandler(), list[str]()
    logging.getLogger("mqtt_trace").addHandler(handler)
    try:
        consumer = TracedConsumer(tracer_provider=broken[0], meter_provider=broken[1])
        consumer.handler(lambda _client, _userdata, message: handled.append(message.topic))(
            Client(CallbackAPIVersion.VERSION2), None, MQTTMessage(topic=b"failing/x")
        )
        publisher = TracedPublisher(
            Client(CallbackAPIVersion.VERSION2), tracer_provider=broken[0], meter_provider=broken[1]
        )
        assert publisher.publish("failing/x", "x", 0).rc == MQTTErrorCode.MQTT_ERR_NO_CONN
    finally:
        logging.getLogger("mqtt_trace").removeHandler(handler)
    assert handled == ["failing/x"]
