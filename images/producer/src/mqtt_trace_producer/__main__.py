"""The command `mqtt-trace-producer`."""

import asyncio

from mqtt_trace import Options, telemetry
from mqtt_trace.service import HealthServer, load, run
from mqtt_trace_producer.descriptors import make_room_for
from mqtt_trace_producer.fleet import Fleet
from mqtt_trace_producer.ids import device_ids
from mqtt_trace_producer.settings import ProducerSettings

PROGRAM = "mqtt-trace-producer"


def main() -> None:
    """Read the settings and publish until SIGTERM."""
    settings = load(ProducerSettings, PROGRAM)
    run(lambda stop: publish(settings, stop), PROGRAM)


async def publish(settings: ProducerSettings, stop: asyncio.Event) -> None:
    """Run a fleet until `stop` is set, then until its readings are acknowledged and its telemetry is exported.

    Raises:
        mqtt_trace.ConfigurationError: A setting that turns out not to be usable.
    """
    make_room_for(settings.device_count)
    fleet_of = telemetry.Fleet(id=settings.fleet_id, tenant=settings.fleet_tenant, priority=settings.fleet_priority)
    attributes = fleet_of.attributes() | telemetry.Site(id=settings.site_id).attributes()
    options = Options.from_env()
    providers = telemetry.setup(PROGRAM, attributes=attributes, log_level=settings.log_level)
    try:
        async with asyncio.TaskGroup() as tasks:
            fleet = Fleet(settings, providers, options, tasks)
            async with HealthServer(settings.health_host, settings.health_port, fleet.status):
                fleet.add(device_ids(settings.device_id, settings.device_count))
                await stop.wait()
                await fleet.drain(settings.drain_timeout_s)
                await asyncio.to_thread(providers.shutdown)
                await fleet.close()
    finally:
        await asyncio.to_thread(providers.shutdown)


if __name__ == "__main__":
    main()
