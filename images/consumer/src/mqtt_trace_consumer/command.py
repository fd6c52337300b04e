"""The command `mqtt-trace-consumer`: start, run until SIGTERM, flush telemetry."""

from __future__ import annotations

import asyncio

from mqtt_trace_service import HealthServer, load, run, telemetry
from opentelemetry.trace import TracerProvider

from mqtt_trace import Options
from mqtt_trace._paho.tolerant import install_tolerant_reader
from mqtt_trace_consumer.echo import Echo
from mqtt_trace_consumer.service import Service
from mqtt_trace_consumer.settings import Settings

PROGRAM = "mqtt-trace-consumer"


def main() -> None:
    """Run the consumer; its settings are environment variables."""
    settings = load(Settings, PROGRAM)
    install_tolerant_reader()

    async def consume(stop: asyncio.Event) -> None:
        options = Options.from_env()
        providers = telemetry.setup(PROGRAM, log_level=settings.log_level)
        device = telemetry.Device(id=settings.mqtt_client_id, kind="gateway")
        try:
            await _consume(settings, options, providers.device_tracer_provider(device.attributes()), stop)
        finally:
            await asyncio.to_thread(providers.shutdown)

    run(consume, PROGRAM)


async def _consume(settings: Settings, options: Options, tracer_provider: TracerProvider, stop: asyncio.Event) -> None:
    echo = Echo(
        str(settings.echo_url),
        timeout=settings.echo_timeout_s,
        connections=settings.echo_concurrency,
        tracer_provider=tracer_provider,
    )
    async with echo:
        service = Service(settings, options, echo, tracer_provider)
        async with HealthServer(settings.health_host, settings.health_port, service.status):
            await service.run(stop)
