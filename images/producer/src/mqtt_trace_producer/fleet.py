"""The devices of this process, and what they share."""

import asyncio
import random
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

from paho.mqtt.client import Client

from mqtt_trace import Options, TracedPublisher, telemetry
from mqtt_trace_producer.connectivity import Connectivity
from mqtt_trace_producer.device import Device, Shared
from mqtt_trace_producer.settings import ProducerSettings
from mqtt_trace_producer.tally import Tally
from mqtt_trace_producer.turns import Turns

_CONNECTING_THREADS = 32
_CONNECTS_PER_S = 1000.0
"""A fleet that starts must not look like an attack to its broker."""


class Fleet:
    """Runs devices until they are closed.

    Args:
        settings: The producer's.
        providers: Where spans and metrics go.
        options: Those of every publisher.
        tasks: Where the devices' tasks live; one that fails unexpectedly ends the process instead of one device.

    Raises:
        mqtt_trace.ConfigurationError: The TLS settings cannot be used.
    """

    def __init__(
        self,
        settings: ProducerSettings,
        providers: telemetry.Telemetry,
        options: Options,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._settings = settings
        self._providers = providers
        self._options = options
        self._tasks = tasks
        self._tally = Tally(providers.meter_provider)
        self._connectivity = Connectivity(f"{settings.mqtt_broker_host}:{settings.mqtt_broker_port}")
        self._executor = ThreadPoolExecutor(_CONNECTING_THREADS, thread_name_prefix="connect")
        self._shared = Shared(
            interval=settings.publish_interval_s,
            qos=settings.publish_qos,
            buffer_readings=settings.device_buffer_readings,
            tally=self._tally,
            connectivity=self._connectivity,
            turns=Turns(),
            executor=self._executor,
        )
        self._devices: dict[str, Device] = {}

    def add(self, device_ids: list[str]) -> None:
        """Start devices; each connects at a moment of its own."""
        spread = len(device_ids) / _CONNECTS_PER_S
        for device_id in device_ids:
            device = self._make_device(device_id)
            self._devices[device_id] = device
            self._tasks.create_task(device.run(random.uniform(0, spread)), name=device_id)  # noqa: S311 - spreads load

    def status(self) -> tuple[bool, Mapping[str, object]]:
        """Whether all devices are connected, and the figures of the readiness probe."""
        devices, connected = len(self._devices), self._connectivity.connected
        return 0 < devices == connected, {
            "devices": devices,
            "connected": connected,
            "published": self._tally.published,
            "buffered": sum(device.unacknowledged for device in self._devices.values()),
            "dropped": self._tally.dropped,
        }

    async def drain(self, timeout: float) -> None:  # noqa: ASYNC109 - what is left then is counted, not an error
        """Take no more readings, wait for acknowledgements, give up what has none after `timeout` seconds."""
        for device in self._devices.values():
            device.stop_reading()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await asyncio.gather(*(device.wait_idle() for device in self._devices.values()))
        self._tally.stopped(sum(device.give_up() for device in self._devices.values()))

    async def close(self) -> None:
        """Disconnect every device; attempts to connect that have not begun never will."""
        self._connectivity.close()
        self._executor.shutdown(wait=False, cancel_futures=True)
        await asyncio.gather(*(device.close() for device in self._devices.values()))

    def _make_device(self, device_id: str) -> Device:
        return Device(device_id, self._make_client(device_id), self._publisher_maker(device_id), self._shared)

    def _make_client(self, device_id: str) -> Client:
        settings = self._settings
        client = settings.make_client(device_id)
        client.max_inflight_messages_set(0)  # a device has its own window: paho's costs a scan per PUBACK
        client.max_queued_messages_set(0)
        client.connect_async(settings.mqtt_broker_host, settings.mqtt_broker_port, settings.mqtt_keepalive_s)
        return client

    def _publisher_maker(self, device_id: str) -> Callable[[Client], TracedPublisher]:
        settings = self._settings
        device = telemetry.Device(
            id=device_id,
            kind="sensor",
            firmware_version=settings.device_firmware_version,
            firmware_channel=settings.device_firmware_channel,
            battery_level=settings.device_battery_level,
        )
        return partial(
            TracedPublisher,
            tracer_provider=self._providers.device_tracer_provider(device.attributes()),
            meter_provider=self._providers.meter_provider,
            options=self._options,
        )
