"""The command `mqtt-trace-producer`."""

import asyncio
from collections.abc import Mapping

from mqtt_trace_service import HealthServer, load, run, telemetry
from opentelemetry.util.types import AttributeValue

from mqtt_trace import Options
from mqtt_trace_producer.device_spec import make_specs
from mqtt_trace_producer.file_descriptors import raise_limit_for
from mqtt_trace_producer.fleet import Fleet
from mqtt_trace_producer.fleet_file_watcher import FleetFileWatcher
from mqtt_trace_producer.settings import ProducerSettings

PROGRAM = "mqtt-trace-producer"


def main() -> None:
    """Read the settings and publish until SIGTERM."""
    settings = load(ProducerSettings, PROGRAM)
    run(lambda stop: publish(settings, stop), PROGRAM)


async def publish(settings: ProducerSettings, stop: asyncio.Event) -> None:
    """Run a fleet until `stop` is set, then drain its readings and export its telemetry.

    Raises:
        mqtt_trace.ConfigurationError: A setting cannot be used.
    """
    watcher = make_watcher(settings)
    if watcher is None:
        raise_limit_for(settings.device_count, "DEVICE_COUNT")
    options = Options.from_env()
    providers = telemetry.setup(
        PROGRAM, attributes=resource_attributes(settings, watcher), log_level=settings.log_level
    )
    try:
        async with asyncio.TaskGroup() as tasks:
            fleet = Fleet(settings, providers, options, tasks)
            async with HealthServer(
                settings.health_host, settings.health_port, fleet.status, documents={"results": fleet.results}
            ):
                await run_until(stop, fleet, settings, watcher)
                await fleet.drain(settings.drain_timeout_s)
                await fleet.finish_results(settings.results_timeout_s)
                await asyncio.to_thread(providers.shutdown)
                await fleet.close()
    finally:
        await asyncio.to_thread(providers.shutdown)


async def run_until(
    stop: asyncio.Event, fleet: Fleet, settings: ProducerSettings, watcher: FleetFileWatcher | None
) -> None:
    """Run the devices of the environment or of the fleet file until `stop` is set."""
    if watcher is None:
        fleet.reconcile(make_specs(settings))
        await stop.wait()
        return
    watching = asyncio.create_task(watcher.follow(fleet))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([watching, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not watching.cancel():
        await watching  # it ends only by an error


def make_watcher(settings: ProducerSettings) -> FleetFileWatcher | None:
    """Return the watcher of the fleet file, None without a fleet file."""
    if settings.fleet_file is None or settings.fleet_pod_index is None:
        return None
    return FleetFileWatcher(settings.fleet_file, settings.fleet_pod_index, settings.device_credentials_dir)


def resource_attributes(settings: ProducerSettings, watcher: FleetFileWatcher | None) -> Mapping[str, AttributeValue]:
    """Return the attributes of the process's resource; with a fleet file, most attributes are those of each device."""
    if watcher is not None:
        return telemetry.Fleet(id=watcher.file.fleet).attributes()
    fleet = telemetry.Fleet(id=settings.fleet_id, tenant=settings.fleet_tenant, priority=settings.fleet_priority)
    return fleet.attributes() | telemetry.Site(id=settings.site_id).attributes()
