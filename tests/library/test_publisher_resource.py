"""A publisher whose resource changes."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from local.mosquitto import Mosquitto
from local.waiting import until
from mqtt_trace import TracedPublisher
from tests.library.harness import Connect


def test_further_spans_are_those_of_another_provider(broker: Mosquitto, connect: Connect) -> None:
    """A current span keeps its resource when the provider changes, and the next span has the new one."""
    spans = InMemorySpanExporter()
    publisher = TracedPublisher(connect(broker, "moves"), tracer_provider=provider_at("attic", spans))
    publisher.publish("sensors/s1/reading", "1", 1)
    publisher.set_tracer_provider(provider_at("cellar", spans))
    publisher.publish("sensors/s1/reading", "2", 1)
    until(lambda: len(spans.get_finished_spans()) == 2, "both spans ended")
    assert [span.resource.attributes["site.id"] for span in spans.get_finished_spans()] == ["attic", "cellar"]


def provider_at(site: str, spans: InMemorySpanExporter) -> Any:
    """A provider whose spans carry a site."""
    provider = TracerProvider(resource=Resource({"site.id": site}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return provider
