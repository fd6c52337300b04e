"""A TracerProvider per device."""

from __future__ import annotations

import pytest
from mqtt_trace_service.telemetry import Device
from mqtt_trace_service.telemetry._resource import HashedResource, device_resource, process_resource
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.util.types import AttributeValue

from service.tests.telemetry.conftest import MakeTelemetry
from service.tests.telemetry.otlp_backend import OtlpBackend


def test_each_device_has_its_own_resource_and_all_share_one_export(
    backend: OtlpBackend, make_telemetry: MakeTelemetry
) -> None:
    """Spans of 200 devices leave through one processor, with the attributes of process and device."""
    telemetry = make_telemetry(backend.url, OTEL_BSP_SCHEDULE_DELAY="60000")
    for number in range(200):
        provider = telemetry.device_tracer_provider(Device(id=f"sensor-{number:03}", kind="sensor").attributes())
        provider.get_tracer("test").start_span(f"span-{number:03}").end()
    telemetry.shutdown()
    assert backend.received.requests.count("/v1/traces") == 1
    assert {span.name: resource["device.id"] for span, resource in backend.received.spans} == {
        f"span-{number:03}": f"sensor-{number:03}" for number in range(200)
    }
    for _, resource in backend.received.spans:
        assert resource["device.kind"] == "sensor"
        assert resource["service.name"] == "tested"
        assert resource["process.attribute"] == 1


def test_devices_follow_the_sampler_of_the_process(
    backend: OtlpBackend, make_telemetry: MakeTelemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Providers of devices use the sampler of the process."""
    telemetry = make_telemetry(backend.url, OTEL_TRACES_SAMPLER="always_off")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_on")
    provider = telemetry.device_tracer_provider({"device.id": "d"})
    assert not provider.get_tracer("test").start_span("s").is_recording()


def test_no_detector_runs_for_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device's resource reuses that of the process and runs no detector."""
    process = process_resource("tested", {})
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "late=1")
    assert device_resource(process, {"device.id": "d"}).attributes == {**process.attributes, "device.id": "d"}


def test_the_name_of_the_user_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """OTEL_SERVICE_NAME overrides OTEL_RESOURCE_ATTRIBUTES, which overrides the name in the code."""
    assert process_resource("in-code", {}).attributes["service.name"] == "in-code"
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=in-attributes,deployment.environment.name=test")
    resource = process_resource("in-code", {})
    assert resource.attributes["service.name"] == "in-attributes"
    assert resource.attributes["deployment.environment.name"] == "test"
    monkeypatch.setenv("OTEL_SERVICE_NAME", "in-variable")
    assert process_resource("in-code", {}).attributes["service.name"] == "in-variable"


def test_a_resource_that_knows_its_hash_equals_the_sdks() -> None:
    """A HashedResource and an equal Resource of the SDK have the same hash and are equal in both directions."""
    attributes: dict[str, AttributeValue] = {"service.name": "s", "device.id": "d", "device.battery.level": 100}
    ours, sdks = HashedResource(attributes), Resource(attributes)
    assert hash(ours) == hash(sdks)
    assert ours == sdks
    assert sdks == ours
    assert ours != HashedResource({**attributes, "device.id": "e"})
    assert ours != HashedResource(attributes, "https://opentelemetry.io/schemas/1.44.0")


def test_the_encoder_groups_spans_as_with_the_sdks_resources() -> None:
    """The encoder puts equal resources of both classes into one group."""
    exporter = InMemorySpanExporter()
    same = {"service.name": "s", "device.id": "d"}
    for resource in (Resource(same), HashedResource(same), HashedResource(same), HashedResource({"device.id": "e"})):
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        provider.get_tracer("test").start_span("span").end()
    groups = encode_spans(exporter.get_finished_spans()).resource_spans
    assert [len(group.scope_spans[0].spans) for group in groups] == [3, 1]
