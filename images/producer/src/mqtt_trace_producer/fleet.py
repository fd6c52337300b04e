"""The devices of this process, and what they share."""

import asyncio
import random
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

from mqtt_trace import Options, TracedPublisher, telemetry
from mqtt_trace_producer.connectivity import Connectivity
from mqtt_trace_producer.device import Device, Shared
from mqtt_trace_producer.device_spec import DeviceSpec
from mqtt_trace_producer.faults import FaultyClient
from mqtt_trace_producer.metrics import Tally
from mqtt_trace_producer.round_robin import Turns
from mqtt_trace_producer.settings import ProducerSettings

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
        self._connectivity = Connectivity(settings.broker_address)
        self._executor = ThreadPoolExecutor(_CONNECTING_THREADS, thread_name_prefix="connect")
        self._shared = Shared(
            buffer_readings=settings.device_buffer_readings,
            retry_s=settings.publish_retry_s,
            tally=self._tally,
            connectivity=self._connectivity,
            turns=Turns(),
            executor=self._executor,
        )
        self._generation: int | None = None
        self._known = False
        self._devices: dict[str, Device] = {}
        self._leaving: set[Device] = set()
        self._running: dict[str, asyncio.Task[None]] = {}

    def become(self, wanted: Mapping[str, DeviceSpec], generation: int | None = None) -> None:
        """Run exactly these devices: start, change and remove what it takes.

        A device whose protocol changes is another one with the same id. New devices connect at a moment of their own.

        Args:
            wanted: What each device is to do, by id.
            generation: Of the fleet file that says so.
        """
        self._known, self._generation = True, generation
        self._remove([device for device in self._devices.values() if not _stays(device, wanted)])
        for device in self._devices.values():
            self._change(device, wanted[device.id])
        new = {device_id: spec for device_id, spec in wanted.items() if device_id not in self._devices}
        for device_id, spec in new.items():
            self._start(device_id, spec, random.uniform(0, len(new) / _CONNECTS_PER_S))  # noqa: S311 - spreads load

    def status(self) -> tuple[bool, Mapping[str, object]]:
        """Whether all devices are connected, and the figures of the readiness probe."""
        devices, connected = len(self._devices), self._connectivity.connected
        figures: dict[str, object] = {
            "devices": devices,
            "connected": connected,
            "published": self._tally.published,
            "buffered": sum(device.unacknowledged for device in self._all()),
            "dropped": self._tally.dropped,
        }
        if self._generation is not None:
            figures["generation"] = self._generation
        return self._known and devices == connected, figures

    async def drain(self, timeout: float) -> None:  # noqa: ASYNC109 - what is left then is counted, not an error
        """Take no more readings, wait for acknowledgements, give up what has none after `timeout` seconds."""
        for device in self._devices.values():
            device.stop_reading()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await asyncio.gather(*(device.wait_idle() for device in self._all()))
        self._tally.stopped(sum(device.give_up() for device in self._all()))

    async def close(self) -> None:
        """Disconnect every device; attempts to connect that have not begun never will."""
        self._connectivity.close()
        # All know that they close before they could ask an executor that takes nothing any more.
        await asyncio.gather(*(device.close() for device in self._all()))
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _all(self) -> Collection[Device]:
        return [*self._devices.values(), *self._leaving]

    def _start(self, device_id: str, spec: DeviceSpec, delay: float) -> None:
        client = self._make_client(device_id, spec)
        make_publisher = partial(
            TracedPublisher,
            tracer_provider=self._providers.device_tracer_provider(spec.attributes),
            meter_provider=self._providers.meter_provider,
            options=self._options,
        )
        device = Device(device_id, spec, client, make_publisher, self._shared)
        self._devices[device_id] = device
        before = self._running.get(device_id)
        running = self._tasks.create_task(_run(device, delay, before), name=device_id)
        self._running[device_id] = running
        running.add_done_callback(partial(self._forget, device_id))

    def _change(self, device: Device, spec: DeviceSpec) -> None:
        if spec.attributes != device.spec.attributes:
            device.trace_with(self._providers.device_tracer_provider(spec.attributes))
        device.follow(spec)

    def _remove(self, devices: list[Device]) -> None:
        if not devices:
            return
        for device in devices:
            del self._devices[device.id]
            device.retire()
        self._leaving.update(devices)
        self._tasks.create_task(self._let_go(devices), name="removal")

    async def _let_go(self, devices: list[Device]) -> None:
        self._tally.removed(sum(await asyncio.gather(*map(self._finish, devices))))

    async def _finish(self, device: Device) -> int:
        """Disconnect a device once its readings are acknowledged; returns how many were given up instead."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.drain_timeout_s):
                await device.wait_idle()
        given_up = device.give_up()
        await device.close()
        if device.id not in self._devices:  # it may be there again, with troubles of its own
            self._tally.gone(device.id)
        self._leaving.discard(device)
        return given_up

    def _forget(self, device_id: str, ended: asyncio.Task[None]) -> None:
        if self._running.get(device_id) is ended:
            del self._running[device_id]

    def _make_client(self, device_id: str, spec: DeviceSpec) -> FaultyClient:
        settings = self._settings
        client = settings.make_client(device_id, kind=FaultyClient, protocol=spec.protocol)
        client.max_inflight_messages_set(0)  # a device has its own window: paho's costs a scan per PUBACK
        client.max_queued_messages_set(0)
        client.connect_async(settings.mqtt_broker_host, settings.mqtt_broker_port, settings.mqtt_keepalive_s)
        return client


async def _run(device: Device, delay: float, before: asyncio.Task[None] | None) -> None:
    """Connect when whoever had this id before has disconnected: the broker would end one of the two."""
    if before is not None:
        await asyncio.wait([before])
    await device.run(delay)


def _stays(device: Device, wanted: Mapping[str, DeviceSpec]) -> bool:
    spec = wanted.get(device.id)
    return spec is not None and spec.protocol == device.spec.protocol
