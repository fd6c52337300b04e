"""Publishes and receives with each QoS, first traced explicitly, then instrumented, and prints the result as JSON.

usage: publish_and_process.py HOST PORT FOLDER-WITH-PAHO
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Callable
from typing import Any

sys.path.insert(0, sys.argv[3])

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from mqtt_trace import TracedConsumer, TracedPublisher
from mqtt_trace.instrumentation import PahoMqttInstrumentor

DEADLINE_S = 60


class Log(logging.Handler):
    """Keeps the lines."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one."""
        self.lines.append(record.getMessage())


class Awaited:
    """A list that grows in another thread."""

    def __init__(self, name: str) -> None:
        self.items: list[str] = []
        self._name = name
        self._changed = threading.Condition()

    def add(self, item: str) -> None:
        """Add one."""
        with self._changed:
            self.items.append(item)
            self._changed.notify_all()

    def wait(self, count: int) -> list[str]:
        """Return them, sorted, when there are that many."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.items) >= count, DEADLINE_S):
                sys.exit(f"{self._name}: {self.items} after {DEADLINE_S} s")
            return sorted(self.items)


def connect(wrap: Callable[[Client, Any], Any], topic_filter: str, received: Awaited, acknowledged: Awaited) -> Client:
    """A client that has subscribed."""
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    subscribed = Awaited("SUBACK")
    client.on_message = wrap(client, lambda _client, _userdata, message: received.add(message.topic[-1]))
    client.on_connect = lambda client, *_: client.subscribe(topic_filter, 2)
    client.on_subscribe = lambda *_: subscribed.add("")
    client.on_publish = lambda *_: acknowledged.add("")
    client.connect(sys.argv[1], int(sys.argv[2]))
    client.loop_start()
    subscribed.wait(1)
    return client


def main() -> None:
    """Do both."""
    log = Log()
    logging.getLogger("mqtt_trace").addHandler(log)
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    received, acknowledged, outcomes = Awaited("received"), Awaited("on_publish"), Awaited("outcomes")

    def traced(client: Client, handle: Any) -> Any:
        return TracedConsumer(client, tracer_provider=provider).handler(handle)

    client = connect(traced, "explicit/#", received, acknowledged)
    publisher = TracedPublisher(client, tracer_provider=provider)
    for qos in range(3):

        def report(outcome: object, qos: int = qos) -> None:
            outcomes.add(str(qos) if getattr(outcome, "error_type", "") is None else f"{qos}: {outcome}")

        publisher.publish(f"explicit/{qos}", "x", qos, on_outcome=report)
    result: dict[str, Any] = {"explicit": received.wait(3), "acknowledged": outcomes.wait(3)}
    acknowledged.wait(3)
    client.disconnect()
    client.loop_stop()
    result["spans"] = sorted(span.name for span in exporter.get_finished_spans() if span.name.startswith("publish"))
    exporter.clear()

    instrumentor = PahoMqttInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    result["is instrumented"] = instrumentor.is_instrumented_by_opentelemetry
    received, acknowledged = Awaited("received"), Awaited("on_publish")
    client = connect(lambda _client, handle: handle, "plain/#", received, acknowledged)
    for qos in range(3):
        client.publish(f"plain/{qos}", "x", qos)
    result["instrumented"] = received.wait(3)
    acknowledged.wait(3)
    client.disconnect()
    client.loop_stop()
    spans = exporter.get_finished_spans()
    publishes = {span.context.span_id: span.name[-1] for span in spans if span.name.startswith("publish")}
    children = sorted(publishes[span.parent.span_id] for span in spans if span.parent and "process" in span.name)
    result["instrumented spans"] = children
    instrumentor.uninstrument()
    sys.stdout.write(json.dumps({**result, "log": log.lines}))


if __name__ == "__main__":
    main()
