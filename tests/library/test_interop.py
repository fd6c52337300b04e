"""Other people's programs on either side: Mosquitto's own command line clients."""

from __future__ import annotations

import subprocess

from opentelemetry.trace import SpanKind

from local.mosquitto import Mosquitto
from local.waiting import until
from mqtt_trace import TracedConsumer, TracedPublisher
from tests.library.harness import Connect, Inbox, Recorded, parent_id

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_trace_from_mosquitto_pub_is_continued(
    broker: Mosquitto, connect: Connect, recorded: Recorded, inbox: type[Inbox]
) -> None:
    """A `traceparent` user property from any publisher is enough to continue its trace."""
    receiver = connect(broker)
    received = inbox(receiver, "interop/in")
    context = ["-D", "PUBLISH", "user-property", "traceparent", TRACEPARENT]
    broker_options = ["-V", "5", "-h", broker.host, "-p", str(broker.port), "-q", "1"]
    subprocess.run(["mosquitto_pub", *broker_options, "-t", "interop/in", "-m", "{}", *context], check=True, timeout=30)
    (message,) = received.wait()
    with TracedConsumer(receiver, tracer_provider=recorded.tracer_provider).process(message):
        pass
    (span,) = recorded.spans
    assert f"{span.context.trace_id:032x}" == TRACEPARENT[3:35]
    assert parent_id(span) == int(TRACEPARENT[36:52], 16)


def test_mosquitto_sub_sees_our_user_properties(broker: Mosquitto, connect: Connect, recorded: Recorded) -> None:
    """What we send is what any MQTT 5 client reads: one lower-case `traceparent` with the publish span's ids."""
    publisher = TracedPublisher(connect(broker), tracer_provider=recorded.tracer_provider)
    command = ["mosquitto_sub", "-V", "5", "-h", broker.host, "-p", str(broker.port), "-q", "1", "-t", "interop/out"]
    with subprocess.Popen([*command, "-C", "1", "-F", "%t|%P|%p"], stdout=subprocess.PIPE, text=True) as subscriber:
        try:
            until(
                lambda: bool(publisher.publish("interop/out", "hello", 1)) and subscriber.poll() is not None,
                "the subscriber has printed a message",
            )
            printed = subscriber.stdout.read().strip() if subscriber.stdout else ""
        finally:
            subscriber.kill()
    topic, user_properties, payload = printed.split("|")
    assert (topic, payload) == ("interop/out", "hello")
    name, _, traceparent = user_properties.partition(":")
    until(lambda: publisher.pending == 0, "every publish span ended")
    sent = {
        f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-{span.context.trace_flags:02x}"
        for span in recorded.spans
        if span.kind is SpanKind.PRODUCER
    }
    assert name == "traceparent"
    assert traceparent.strip() in sent
