"""Settings of the instrumentation, and mistakes in them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import Span
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from mqtt_trace import extract
from mqtt_trace.instrumentation import PahoMqttInstrumentor
from tests.library.harness import Instrument, Recorded

EXCLUDED = "OTEL_PYTHON_PAHO_MQTT_EXCLUDED_TOPICS"
SCRIPTS = Path(sysconfig.get_path("scripts"))


def new_client() -> Client:
    """A client that is not connected, with a callback."""
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.on_message = lambda *_: None
    return client


def receive(client: Client, topic: str) -> None:
    """Let a client handle a message as if it came from the network."""
    message = MQTTMessage(topic=topic.encode())
    message.properties = Properties(PacketTypes.PUBLISH)
    client._handle_on_message(message)  # noqa: SLF001 - that is where it comes


def sent(client: Client) -> MQTTMessage:
    """The only message that a client keeps for sending."""
    (message,) = client._out_messages.values()  # noqa: SLF001 - nothing public tells
    return message


@pytest.mark.parametrize(
    ("filters", "topic", "excluded"),
    [
        ("health/#", "health/a/b", True),
        ("health/#", "health", True),
        ("health/#", "healthy", False),
        (" health/# , +/debug ,", "x/debug", True),
        ("+/debug", "x/y/debug", False),
        ("#", "$SYS/broker", False),
        ("$SYS/#", "$SYS/broker", True),
        ("a.c", "abc", False),
        ("", "x", False),
    ],
)
def test_messages_of_excluded_topics_are_left_alone(
    instrument: Instrument,
    recorded: Recorded,
    monkeypatch: pytest.MonkeyPatch,
    filters: str,
    topic: str,
    excluded: bool,
) -> None:
    """Messages of excluded topic filters have no span and no context on either side."""
    monkeypatch.setenv(EXCLUDED, filters)
    instrument()
    client = new_client()
    receive(client, topic)
    client.publish(topic, "x", 1)
    assert (sent(client).properties is None) is excluded
    PahoMqttInstrumentor().uninstrument()
    assert len(recorded.spans) == (0 if excluded else 2)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        (EXCLUDED, "a/#/b"),
        (EXCLUDED, "a+"),
        (EXCLUDED, "ok,$share/group/a"),
        ("MQTT_TRACE_RELATION", "sibling"),
    ],
)
def test_a_variable_that_is_not_understood_is_one_line_and_no_tracing(
    instrument: Instrument,
    recorded: Recorded,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    variable: str,
    value: str,
) -> None:
    """An invalid variable is logged in one line with its name, and the program runs untraced."""
    monkeypatch.setenv(variable, value)
    instrument()
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert record.getMessage().startswith(f"paho-mqtt is not traced: {variable}: ")
    assert "\n" not in caplog.text.strip()
    client = new_client()
    client.publish("x", "x", 1)
    assert sent(client).properties is None
    PahoMqttInstrumentor().uninstrument()
    assert not recorded.spans


def test_the_conventions_opt_in_holds(
    instrument: Instrument, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The conventions' opt-in applies, as in the rest of the library."""
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", "messaging/dup")
    instrument()
    new_client().publish("opted/in", "x", 0)
    (span,) = recorded.spans
    assert span.attributes["messaging.operation.type"] == "send"
    assert span.attributes["messaging.operation"] == "publish"


def test_hooks_add_to_the_spans(instrument: Instrument, recorded: Recorded) -> None:
    """Hooks get their arguments, and the process hook runs with the span as the current one."""

    def publish_hook(span: Span, client: Client, topic: str, payload: Any) -> None:
        span.set_attribute("hooked", f"{type(client).__name__} {topic} {payload!r}")

    def process_hook(span: Span, client: Client, message: MQTTMessage) -> None:
        assert trace.get_current_span() is span
        span.set_attribute("hooked", f"{type(client).__name__} {message.topic} {message.payload!r}")

    instrument(publish_hook=publish_hook, process_hook=process_hook)
    client = new_client()
    client.publish("hooks/out", 21.5, 0)
    receive(client, "hooks/in")
    assert [span.attributes["hooked"] for span in recorded.spans] == ["Client hooks/out 21.5", "Client hooks/in b''"]


def test_what_hooks_raise_is_logged(
    instrument: Instrument, recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    """The exceptions of hooks are logged, and affect neither the program nor the span."""

    def fail(*_: Any) -> None:
        raise RuntimeError("hook")

    instrument(publish_hook=fail, process_hook=fail)
    client = new_client()
    client.publish("hooks/out", "x", 1)
    receive(client, "hooks/in")
    assert sent(client).properties is not None
    PahoMqttInstrumentor().uninstrument()
    assert sorted(span.name for span in recorded.spans) == ["process hooks/in", "publish hooks/out"]
    assert not any(span.events for span in recorded.spans)
    assert ("publish_hook failed" in caplog.text, "process_hook failed" in caplog.text) == (True, True)


def test_a_misspelt_argument_is_an_error(instrument: Instrument) -> None:
    """A misspelt argument is an error."""
    with pytest.raises(TypeError, match="publish_hok"):
        instrument(publish_hok=print)


def test_suppressed_instrumentation_leaves_messages_alone(instrument: Instrument, recorded: Recorded) -> None:
    """Suppressed instrumentation leaves messages alone, as an exporter over MQTT requires."""
    instrument()
    client = new_client()
    with suppress_instrumentation():
        client.publish("suppressed/out", "x", 1)
        receive(client, "suppressed/in")
    assert sent(client).properties is None
    receive(client, "traced/in")
    PahoMqttInstrumentor().uninstrument()
    assert [span.name for span in recorded.spans] == ["process traced/in"]


def test_a_span_that_is_not_sampled_is_still_carried(instrument: Instrument) -> None:
    """An unsampled span is propagated with its decision, and hooks are not called for it."""
    hooked: list[object] = []
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    instrument(
        tracer_provider=provider, publish_hook=lambda *_: hooked.append(_), process_hook=lambda *_: hooked.append(_)
    )
    client = new_client()
    client.publish("unsampled/x", "x", 1)
    receive(client, "unsampled/x")
    properties: Any = sent(client).properties
    context = trace.get_current_span(extract(properties.UserProperty).context).get_span_context()
    assert context.is_valid
    assert not context.trace_flags.sampled
    assert not hooked


def run(program: str, *disabled_instrumentations: str) -> str:
    """The output of a program under `opentelemetry-instrument`, with spans on its standard output."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "MQTT_"))}
    exporters = {"OTEL_TRACES_EXPORTER": "console", "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}
    # OpenTelemetry's logging instrumentation starts a thread at exit, for which Python 3.12 prints a traceback.
    disabled = {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": ",".join(["logging", *disabled_instrumentations])}
    command = [str(SCRIPTS / "opentelemetry-instrument"), sys.executable, "-c", program]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=120, env={**inherited, **exporters, **disabled}
    )
    return done.stdout + done.stderr


PUBLISH_AND_END = """
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
client = Client(CallbackAPIVersion.VERSION2)
client.publish("ended/x", "x", 1)
"""


def test_a_program_that_ends_loses_no_span() -> None:
    """Spans that are unacknowledged at the end of a program are exported."""
    span = json.loads(run(PUBLISH_AND_END))
    assert (span["name"], span["attributes"]["error.type"]) == ("publish ended/x", "closed")


PROVIDE_LATER = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from mqtt_trace.instrumentation import PahoMqttInstrumentor
PahoMqttInstrumentor().instrument()
client = Client(CallbackAPIVersion.VERSION2)
client.publish("unrecorded/x", "x", 1)
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter()))
trace.set_tracer_provider(provider)
client.publish("ended/x", "x", 1)
"""


def test_a_provider_may_come_after_the_instrumentation() -> None:
    """Waiting spans end before the provider shuts down, whichever of the two is set up first."""
    command = [sys.executable, "-c", PROVIDE_LATER]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    span = json.loads(done.stdout)
    assert (span["name"], span["attributes"]["error.type"]) == ("publish ended/x", "closed")


def test_the_instrumentation_can_be_disabled_by_its_name() -> None:
    """OpenTelemetry's own variable disables the instrumentation by its name."""
    assert run(PUBLISH_AND_END, "paho-mqtt") == ""
