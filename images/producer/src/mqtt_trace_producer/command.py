"""What the command `mqtt-trace-producer` does."""

import asyncio
from collections.abc import Mapping

from opentelemetry.util.types import AttributeValue

from mqtt_trace import Options, telemetry
from mqtt_trace.service import HealthServer, load, run
from mqtt_trace_producer.device_spec import specs_of
from mqtt_trace_producer.file_descriptors import make_room_for
from mqtt_trace_producer.fleet import Fleet
from mqtt_trace_producer.fleet_file_watcher import LiveFleet
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
    live = live_fleet(settings)
    if live is None:
        make_room_for(settings.device_count, "DEVICE_COUNT")
    options = Options.from_env()
    providers = telemetry.setup(PROGRAM, attributes=process_attributes(settings, live), log_level=settings.log_level)
    try:
        async with asyncio.TaskGroup() as tasks:
            fleet = Fleet(settings, providers, options, tasks)
            async with HealthServer(settings.health_host, settings.health_port, fleet.status):
                await run_until(stop, fleet, settings, live)
                await fleet.drain(settings.drain_timeout_s)
                await asyncio.to_thread(providers.shutdown)
                await fleet.close()
    finally:
        await asyncio.to_thread(providers.shutdown)


async def run_until(stop: asyncio.Event, fleet: Fleet, settings: ProducerSettings, live: LiveFleet | None) -> None:
    """Let the fleet be what the environment or the fleet file asks for."""
    if live is None:
        fleet.become(specs_of(settings))
        await stop.wait()
        return
    live.apply(fleet)
    following = asyncio.create_task(live.follow(fleet))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([following, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not following.cancel():
        await following  # it never ends but by an error


def live_fleet(settings: ProducerSettings) -> LiveFleet | None:
    """The fleet file, if there is one."""
    if settings.fleet_file is None or settings.fleet_pod_index is None:
        return None
    return LiveFleet(settings.fleet_file, settings.fleet_pod_index)


def process_attributes(settings: ProducerSettings, live: LiveFleet | None) -> Mapping[str, AttributeValue]:
    """What does not change while the process lives: the rest of a fleet file's attributes is each device's own."""
    if live is not None:
        return telemetry.Fleet(id=live.file.fleet).attributes()
    fleet = telemetry.Fleet(id=settings.fleet_id, tenant=settings.fleet_tenant, priority=settings.fleet_priority)
    return fleet.attributes() | telemetry.Site(id=settings.site_id).attributes()
