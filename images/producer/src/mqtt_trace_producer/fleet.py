"""The devices of this process."""

import asyncio
import random
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

from mqtt_trace_service import telemetry

from mqtt_trace import Options, TracedPublisher
from mqtt_trace._receipts import TOPIC_PREFIX
from mqtt_trace_producer.connectivity import Connectivity
from mqtt_trace_producer.credentials import Certificate, DeviceClient, Password
from mqtt_trace_producer.device import Device
from mqtt_trace_producer.device_spec import DeviceSpec
from mqtt_trace_producer.metrics import Metrics
from mqtt_trace_producer.results.receipts import ReceiptConnection
from mqtt_trace_producer.results.recorder import Results
from mqtt_trace_producer.round_robin import RoundRobin
from mqtt_trace_producer.settings import ProducerSettings
from mqtt_trace_producer.shared import Shared

_CONNECTING_THREADS = 32
_CONNECTS_PER_S = 1000.0
"""Limits the rate at which a fleet connects, so that it does not overload the broker."""


class Fleet:
    """Runs the devices of a process.

    Args:
        settings: Settings of the producer.
        providers: Providers for spans and metrics.
        options: Options of every publisher.
        tasks: Group of the devices' tasks; an unexpected error in one ends the process.

    Attributes:
        phase: Index of the scenario's current phase, whose readings are numbered; None before the first and after the
            last.

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
        self._shared_settings, self._settings = settings, settings.for_devices()
        self._providers = providers
        self._options = options
        self._tasks = tasks
        self._metrics = Metrics(providers.meter_provider)
        self._connectivity = Connectivity(self._settings.broker_address)
        self._executor = ThreadPoolExecutor(_CONNECTING_THREADS, thread_name_prefix="connect")
        self.phase: int | None = None
        self._results = Results(lambda: self.phase, settings.results_file)
        self._receipts: ReceiptConnection | None = None
        self._shared = Shared(
            buffer_readings=settings.device_buffer_readings,
            retry_s=settings.publish_retry_s,
            metrics=self._metrics,
            results=self._results,
            connectivity=self._connectivity,
            round_robin=RoundRobin(),
            executor=self._executor,
        )
        self._generation: int | None = None
        self._started_at: float | None = None
        self._reconciled = False
        self._devices: dict[str, Device] = {}
        self._draining: set[Device] = set()
        self._running: dict[str, asyncio.Task[None]] = {}

    def reconcile(
        self, specs: Mapping[str, DeviceSpec], generation: int | None = None, started_at: float | None = None
    ) -> None:
        """Run exactly these devices: add, update and drain devices as needed.

        A device whose protocol changes is drained and replaced. New devices connect at random moments.

        Args:
            specs: Configurations of all devices, by id.
            generation: Generation of the fleet file with these devices.
            started_at: When the scenario of the fleet file starts, in seconds since the epoch.
        """
        self._reconciled, self._generation, self._started_at = True, generation, started_at
        self._start_draining([device for device in self._devices.values() if not _is_kept(device, specs)])
        for device in self._devices.values():
            self._update(device, specs[device.id])
        new = {device_id: spec for device_id, spec in specs.items() if device_id not in self._devices}
        for device_id, spec in new.items():
            self._add(device_id, spec, random.uniform(0, len(new) / _CONNECTS_PER_S))  # noqa: S311 - spreads load

    @property
    def size(self) -> int:
        """The number of devices, connected or not."""
        return len(self._devices)

    def storm(self) -> None:
        """Disconnect all devices at once, and connect them again after a short back-off."""
        for device in self._devices.values():
            device.reconnect("a storm of the scenario")

    def churn(self, count: int) -> None:
        """Reconnect `count` devices, chosen at random. They count as connected unless the first attempt fails."""
        for device in random.sample([*self._devices.values()], min(count, len(self._devices))) if count else ():
            device.reconnect("churn of the scenario", silently=True)

    def follow_scenario(self, fleet_id: str, pod_index: int, started_at: float | None) -> None:
        """Receive the receipts of a fleet with a scenario, and number its readings once it has started.

        Args:
            fleet_id: Namespace and name of the fleet.
            pod_index: Index of this pod in the fleet, from 0.
            started_at: When the scenario starts, in seconds since the epoch; another time starts the results over.
        """
        client_id = f"{fleet_id}-receipts-{pod_index}"
        topic = f"{TOPIC_PREFIX}{client_id}"  # which a broker can permit to this client alone
        if self._results.follow(started_at, topic):
            self._connectivity.start_over()
        if self._receipts is None:
            self._receipts = ReceiptConnection(self._shared_settings, client_id, topic, self._results)
            self._keeping = self._tasks.create_task(self._results.keep(), name="results")
            self._tasks.create_task(self._receipts.run(), name="receipts")

    def forget_scenario(self) -> None:
        """End the results, because the fleet has no scenario any more."""
        self.phase = None
        self._results.end()

    def results(self) -> Mapping[str, object] | None:
        """Return the answer of `GET /results`; None without a scenario."""
        return self._results.document(self._connectivity.connected_within)

    def retry(self) -> None:
        """Let disconnected devices connect at once: they may have new credentials."""
        for device in self._open_devices():
            device.retry()

    def status(self) -> tuple[bool, Mapping[str, object]]:
        """Return whether all devices are connected, and the figures for the readiness probe."""
        devices, connected = len(self._devices), self._connectivity.connected_count
        figures: dict[str, object] = {
            "devices": devices,
            "connected": connected,
            "published": self._metrics.published,
            "buffered": sum(device.unacknowledged for device in self._open_devices()),
            "dropped": self._metrics.dropped,
            "causes": self._connectivity.causes,
        }
        if self._generation is not None:
            figures["generation"] = self._generation
        if self._started_at is not None:
            figures["started_at"] = self._started_at
        return self._reconciled and devices == connected, figures

    async def drain(self, timeout: float) -> None:  # noqa: ASYNC109 - its end is no error
        """Take no more readings, wait for acknowledgements, and after `timeout` seconds drop the other readings."""
        for device in self._devices.values():
            device.start_draining()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await asyncio.gather(*(device.wait_drained() for device in self._open_devices()))
        self._metrics.fleet_drained(sum(device.drop_unacknowledged() for device in self._open_devices()))

    async def finish_results(self, timeout: float) -> None:  # noqa: ASYNC109 - its end is no error
        """Wait for receipts, and for the results to be read, if the fleet has a scenario."""
        await self._results.finish(timeout)

    async def close(self) -> None:
        """Disconnect every device, and cancel pending attempts to connect."""
        self._connectivity.close()
        if self._receipts is not None:
            self._keeping.cancel()
            await self._receipts.close()
        # The devices first: one that still connects would submit to an executor that is shut down.
        await asyncio.gather(*(device.close() for device in self._open_devices()))
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _open_devices(self) -> Collection[Device]:
        return [*self._devices.values(), *self._draining]

    def _add(self, device_id: str, spec: DeviceSpec, delay: float) -> None:
        client = self._make_client(device_id, spec)
        make_publisher = partial(
            TracedPublisher,
            tracer_provider=self._providers.device_tracer_provider(spec.attributes),
            meter_provider=self._providers.meter_provider,
            options=self._options,
        )
        device = Device(device_id, spec, client, make_publisher, self._shared)
        self._devices[device_id] = device
        previous = self._running.get(device_id)
        running = self._tasks.create_task(_run(device, delay, previous), name=device_id)
        self._running[device_id] = running
        running.add_done_callback(partial(self._task_done, device_id))

    def _update(self, device: Device, spec: DeviceSpec) -> None:
        if spec.attributes != device.spec.attributes:
            device.set_tracer_provider(self._providers.device_tracer_provider(spec.attributes))
        device.apply(spec)

    def _start_draining(self, devices: list[Device]) -> None:
        if not devices:
            return
        for device in devices:
            del self._devices[device.id]
            device.start_draining(removed=True)
        self._draining.update(devices)
        self._tasks.create_task(self._drain_and_close(devices), name="drain")

    async def _drain_and_close(self, devices: list[Device]) -> None:
        self._metrics.devices_closed(sum(await asyncio.gather(*map(self._drain_and_close_one, devices))))

    async def _drain_and_close_one(self, device: Device) -> int:
        """Disconnect a device after its last acknowledgement or a time-out; return the number of dropped readings."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.drain_timeout_s):
                await device.wait_drained()
        dropped = device.drop_unacknowledged()
        await device.close()
        if device.id not in self._devices:  # a new device with this id may have incidents of its own
            self._metrics.device_closed(device.id)
        self._draining.discard(device)
        return dropped

    def _task_done(self, device_id: str, ended: asyncio.Task[None]) -> None:
        if self._running.get(device_id) is ended:
            del self._running[device_id]

    def _make_client(self, device_id: str, spec: DeviceSpec) -> DeviceClient:
        settings = self._settings
        certificates, passwords = settings.device_certificates_dir, settings.device_passwords_dir
        # A context of its own: a device that reconnects must not change the certificate of another's handshake.
        context = settings.make_tls_context() if certificates is not None else settings.tls_context
        client = settings.make_client(device_id, kind=DeviceClient, protocol=spec.protocol, tls_context=context)
        if passwords is not None:
            client.credentials = Password(passwords, device_id)
        elif certificates is not None and context is not None:
            client.credentials = Certificate(certificates, device_id, context)
        client.max_inflight_messages_set(
            0
        )  # a device limits its own readings in flight: paho's limit costs a scan per PUBACK
        client.max_queued_messages_set(0)
        client.connect_async(settings.mqtt_broker_host, settings.mqtt_broker_port, settings.mqtt_keepalive_s)
        return client


async def _run(device: Device, delay: float, previous: asyncio.Task[None] | None) -> None:
    """Run a device once the previous device with this id has disconnected: a broker allows one client per id."""
    if previous is not None:
        await asyncio.wait([previous])
    await device.run(delay)


def _is_kept(device: Device, specs: Mapping[str, DeviceSpec]) -> bool:
    spec = specs.get(device.id)
    return spec is not None and spec.protocol == device.spec.protocol
