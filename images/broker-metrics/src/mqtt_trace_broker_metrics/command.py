"""The command `mqtt-trace-broker-metrics`."""

import asyncio

from mqtt_trace_service import HealthServer, load, run, telemetry

from mqtt_trace_broker_metrics.monitor import Monitor
from mqtt_trace_broker_metrics.settings import Settings
from mqtt_trace_broker_metrics.statistics import Statistics

PROGRAM = "mqtt-trace-broker-metrics"


def main() -> None:
    """Export the broker's statistics until SIGTERM or SIGINT."""
    settings = load(Settings, PROGRAM)

    async def export(stop: asyncio.Event) -> None:
        providers = telemetry.setup(PROGRAM, log_level=settings.log_level)
        try:
            monitor = Monitor(settings, Statistics())
            async with HealthServer(settings.health_host, settings.health_port, monitor.status):
                await monitor.run(stop)
        finally:
            await asyncio.to_thread(providers.shutdown)

    run(export, PROGRAM)
