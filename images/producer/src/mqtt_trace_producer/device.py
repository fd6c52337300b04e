"""One simulated device: a sensor, its bounded buffer and its own connection to the broker."""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import TracerProvider
from paho.mqtt.client import Client
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from mqtt_trace import PublishOutcome, TracedPublisher
from mqtt_trace.aio import Connection
from mqtt_trace.reasons import NO_MATCHING_SUBSCRIBERS
from mqtt_trace_producer.connectivity import Connectivity
from mqtt_trace_producer.device_spec import DeviceSpec
from mqtt_trace_producer.faults import FaultyClient
from mqtt_trace_producer.metrics import Metrics
from mqtt_trace_producer.retries import OutgoingReading, Retries
from mqtt_trace_producer.round_robin import RoundRobin
from mqtt_trace_producer.schedule import Schedule
from mqtt_trace_producer.sensor import Sensor

_logger = logging.getLogger(__name__)

_MAX_IN_FLIGHT = 10
"""Readings under way at once: enough to send a backlog quickly, few enough to keep it bounded by our own buffer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What all devices of a fleet have in common.

    Attributes:
        buffer_readings: How many readings of a device may wait to be sent.
        retry_s: Seconds for which a reading without subscribers is published again; 0 for never.
        metrics: Told what becomes of readings.
        connectivity: Told what becomes of connections.
        turns: Says who may send.
        executor: Where the blocking part of connecting runs.
    """

    buffer_readings: int
    retry_s: float
    metrics: Metrics
    connectivity: Connectivity
    round_robin: RoundRobin
    executor: Executor


class Device:
    """Takes readings at a steady pace and publishes each until the broker has acknowledged it.

    Args:
        device_id: Its id, also the client's.
        spec: What it is to do at first.
        client: Its own paho client, after `connect_async`.
        make_publisher: Makes the client's traced publisher.
        shared: What it has in common with the others.

    Attributes:
        id: Its id.
        spec: What it is to do.
    """

    def __init__(
        self,
        device_id: str,
        spec: DeviceSpec,
        client: FaultyClient,
        make_publisher: Callable[[Client], TracedPublisher],
        shared: Shared,
    ) -> None:
        self.id = device_id
        self.spec = spec
        self._client = client
        self._shared = shared
        self._metrics = shared.metrics
        self._sensor = Sensor(device_id, random.Random())  # noqa: S311 - weather, not secrets
        self._taken = 0
        self._buffer: deque[OutgoingReading] = deque()
        self._in_flight: dict[int, OutgoingReading] = {}
        self._retries = Retries(shared.retry_s, shared.buffer_readings, self._republish, self._drop_without_subscribers)
        self._has_turn = False
        self._wanted = True
        self._drained = asyncio.Event()
        self._drained.set()
        client.on_publish = self._on_publish
        self._publisher = make_publisher(client)
        self._connection = Connection(
            client, on_up=self._on_connected, on_down=self._on_disconnected, executor=shared.executor
        )
        shared.connectivity.add_device()
        self._loop = asyncio.get_running_loop()
        self._start_reading()

    @property
    def unacknowledged(self) -> int:
        """Readings that were taken and neither acknowledged nor dropped."""
        return len(self._buffer) + len(self._in_flight) + len(self._retries)

    async def run(self, delay: float) -> None:
        """Stay connected from `delay` seconds on until `close`."""
        await self._connection.run(delay)

    def apply(self, spec: DeviceSpec) -> None:
        """Do from now on what another spec with the same protocol asks."""
        interval_changed = spec.interval != self.spec.interval
        self.spec = spec
        if interval_changed:
            self._timer.cancel()
            self._start_reading()

    def set_tracer_provider(self, tracer_provider: TracerProvider) -> None:
        """Make further publish spans with another provider, that is, another resource."""
        self._publisher.set_tracer_provider(tracer_provider)

    def retire(self) -> None:
        """Take no more readings, and count as gone although what was taken is still to be acknowledged."""
        self.start_draining()
        self._wanted = False
        self._shared.connectivity.remove_device(self.id)

    def start_draining(self) -> None:
        """Take no more readings, and waste no time before those that were taken can be sent."""
        self._timer.cancel()
        if self.unacknowledged:
            self._connection.hurry()

    async def wait_drained(self) -> None:
        """Return when every reading has been acknowledged or dropped."""
        await self._drained.wait()

    def drop_unacknowledged(self) -> int:
        """Forget what is not acknowledged and end its spans.

        Returns:
            How many readings that were.
        """
        dropped = self.unacknowledged
        self._buffer.clear()
        self._in_flight.clear()
        self._retries.clear()
        self._publisher.close()
        self._drained.set()
        return dropped

    async def close(self) -> None:
        """Disconnect."""
        await self._connection.close()

    def _start_reading(self) -> None:
        start = self._loop.time() + random.uniform(0, self.spec.interval)  # noqa: S311 - spreads load
        self._schedule = Schedule(start, self.spec.interval)
        self._timer = self._loop.call_at(self._schedule.due, self._take_reading)

    def _take_reading(self) -> None:
        skipped = self._schedule.advance(self._loop.time())
        self._timer = self._loop.call_at(self._schedule.due, self._take_reading)
        if skipped:
            self._metrics.skipped(skipped)
        reading = self._sensor.read()
        self._metrics.taken(reading.celsius)
        while len(self._buffer) >= self._shared.buffer_readings:  # more than one, when some came back
            self._buffer.popleft()
            self._metrics.dropped_buffer_full(self.id)
        self._buffer.append(OutgoingReading(reading, self.spec.choose_fault(self._taken)))
        self._taken += 1
        self._drained.clear()
        self._request_turn()

    def _request_turn(self) -> None:
        if self._can_send() and not self._has_turn:
            self._has_turn = True
            self._shared.round_robin.add(self._send_one)

    def _send_one(self) -> bool:
        self._has_turn = False  # should this fail, the next reading asks again
        if self._can_send():
            self._publish(self._buffer.popleft())
            self._check_drained()
        self._has_turn = self._can_send()
        return self._has_turn

    def _can_send(self) -> bool:
        window = min(_MAX_IN_FLIGHT, self._connection.receive_maximum)
        return bool(self._buffer) and self._connection.is_up and len(self._in_flight) < window

    def _publish(self, outgoing: OutgoingReading) -> None:
        """Hand a reading to paho, which sends it again after a reconnect until it is acknowledged."""
        spec, reading = self.spec, outgoing.reading
        topic = spec.topic(self.id)
        self._client.fault = outgoing.fault
        info = self._publisher.publish(
            topic,
            reading.payload(),
            spec.qos,
            message_id=reading.message_id,
            template=spec.topic_template,
            context=outgoing.first_context,
            on_outcome=partial(self._on_outcome, outgoing, topic),
        )
        if spec.qos:
            self._in_flight[info.mid] = outgoing
        else:
            self._metrics.acknowledged(self.id)

    def _on_outcome(self, outgoing: OutgoingReading, topic: str, outcome: PublishOutcome) -> None:
        """Called with the publish span as the current one; errors are told once for all devices, by the metrics."""
        span_context = trace.get_current_span().get_span_context()
        if outcome.error_type is not None or self._needs_retry(outcome.reason_code):
            span = trace.NonRecordingSpan(span_context)
            outgoing.first_context = outgoing.first_context or trace.set_span_in_context(span, Context())
        elif _logger.isEnabledFor(logging.INFO):
            _logger.info(
                "published reading %.2f Cel to %s: message %s, trace %s",
                outgoing.reading.celsius,
                topic,
                outgoing.reading.message_id,
                trace.format_trace_id(span_context.trace_id),
            )

    def _on_publish(
        self, client: Client, userdata: Any, packet_id: int, reason: ReasonCode, properties: Properties
    ) -> None:
        """The broker has answered, even if only after the span had ended by its time-out."""
        del client, userdata, properties
        outgoing = self._in_flight.pop(packet_id, None)
        if outgoing is None:  # QoS 0, or given up
            return
        if reason.is_failure:
            self._metrics.refused(self.id, reason)
        elif self._needs_retry(reason.value):
            self._metrics.no_subscribers(self.id)
            self._retries.add(outgoing)
        else:
            self._metrics.acknowledged(self.id)
            self._retries.publish_all()
        self._check_drained()
        self._request_turn()

    def _needs_retry(self, reason_code: int) -> bool:
        return reason_code == NO_MATCHING_SUBSCRIBERS and self._shared.retry_s > 0

    def _republish(self, readings: list[OutgoingReading]) -> None:
        """Before those that were taken later."""
        self._buffer.extendleft(reversed(readings))
        self._request_turn()

    def _drop_without_subscribers(self) -> None:
        self._metrics.dropped_no_subscribers(self.id)

    def _check_drained(self) -> None:
        if not self._buffer:
            self._metrics.buffer_empty(self.id)
            if not self._in_flight and not self._retries:
                self._drained.set()

    def _on_connected(self, session_present: bool) -> None:
        del session_present  # paho sends again what is not acknowledged, session or not
        if self._wanted:
            self._shared.connectivity.set_connected(self.id)
        self._request_turn()  # which comes after this callback, as does what paho sends again

    def _on_disconnected(self, cause: str) -> None:
        if self._wanted:
            self._shared.connectivity.set_disconnected(self.id, cause)
