"""One device in this process, with a slow broker."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial

import pytest
from mqtt_trace_producer.connectivity import Connectivity
from mqtt_trace_producer.credentials import DeviceClient
from mqtt_trace_producer.device import Device
from mqtt_trace_producer.device_spec import DeviceSpec
from mqtt_trace_producer.metrics import Metrics
from mqtt_trace_producer.results.recorder import Results
from mqtt_trace_producer.round_robin import RoundRobin
from mqtt_trace_producer.shared import Shared
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from paho.mqtt.client import MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from local.mosquitto import Mosquitto
from local.waiting import DEADLINE_S, until_async
from mqtt_trace import TracedPublisher
from mqtt_trace.aio import Backoff


def make_shared(metrics: Metrics, executor: Executor) -> Shared:
    """The shared objects of a fleet with a single device."""
    return Shared(
        buffer_readings=100,
        retry_s=0,
        metrics=metrics,
        results=Results(lambda: None),
        connectivity=Connectivity("broker"),
        round_robin=RoundRobin(),
        executor=executor,
    )


def test_draining_does_not_wait_for_the_next_attempt_to_connect(
    make_broker: Callable[..., Mosquitto], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device that drains connects at once, without the rest of its back-off."""
    monkeypatch.setattr("mqtt_trace._paho.connection.Backoff", lambda: Backoff(100 * DEADLINE_S, 100 * DEADLINE_S))
    broker = make_broker()

    async def stop_after_an_outage() -> None:
        with ThreadPoolExecutor(1) as executor:
            metrics = Metrics()
            spec = DeviceSpec(number=0, interval=0.05, qos=1, attributes={})
            client = DeviceClient(CallbackAPIVersion.VERSION2, "away-1", protocol=MQTTv5)
            client.connect_async(broker.host, broker.port)
            device = Device("away-1", spec, client, TracedPublisher, make_shared(metrics, executor))
            running = asyncio.create_task(device.run(0))
            await until_async(lambda: metrics.published, "a published reading")
            await asyncio.to_thread(broker.stop)
            await until_async(lambda: device.unacknowledged >= 5, "five readings without PUBACK")
            await asyncio.to_thread(broker.start)
            device.start_draining()
            async with asyncio.timeout(DEADLINE_S):
                await device.wait_drained()
            assert metrics.dropped == 0
            await device.close()
            await running

    asyncio.run(stop_after_an_outage())


def test_a_reading_whose_span_has_timed_out_still_counts_when_its_puback_comes(
    make_broker: Callable[..., Mosquitto],
) -> None:
    """The time-out of a span does not drop its reading, which paho still has."""
    broker = make_broker()
    spans = InMemorySpanExporter()
    tracer_provider = TracerProvider(shutdown_on_exit=False)
    tracer_provider.add_span_processor(SimpleSpanProcessor(spans))

    async def late() -> None:
        with ThreadPoolExecutor(1) as executor:
            metrics = Metrics()
            shared = make_shared(metrics, executor)
            spec = DeviceSpec(number=0, interval=0.05, qos=1, attributes={})
            client = DeviceClient(CallbackAPIVersion.VERSION2, "late-1", protocol=MQTTv5)
            client.connect_async(broker.host, broker.port)
            publisher = partial(TracedPublisher, tracer_provider=tracer_provider, timeout=0.1)
            device = Device("late-1", spec, client, publisher, shared)
            running = asyncio.create_task(device.run(0))
            await until_async(lambda: metrics.published, "a published reading")
            os.kill(broker.pid, signal.SIGSTOP)
            try:
                await until_async(
                    lambda: [span for span in spans.get_finished_spans() if not span.status.is_ok],
                    "a span that timed out",
                )
                device.start_draining()
                before = metrics.published
                waiting = device.unacknowledged
            finally:
                os.kill(broker.pid, signal.SIGCONT)
            async with asyncio.timeout(DEADLINE_S):
                await device.wait_drained()
            assert waiting > 0
            assert metrics.published == before + waiting
            assert metrics.dropped == 0
            await device.close()
            await running
            assert device.drop_unacknowledged() == 0

    asyncio.run(late())
    tracer_provider.shutdown()
