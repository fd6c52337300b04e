"""One simulated device: a sensor, its bounded buffer and its connection to the broker."""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable
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
from mqtt_trace_producer.credentials import DeviceClient
from mqtt_trace_producer.device_spec import DeviceSpec
from mqtt_trace_producer.retries import OutgoingReading, Retries
from mqtt_trace_producer.schedule import Schedule
from mqtt_trace_producer.sensor import Sensor
from mqtt_trace_producer.shared import Shared

_logger = logging.getLogger(__name__)

_NORMAL_DISCONNECTION = 0x00
_MAX_IN_FLIGHT = 10
"""Readings in flight at once: enough to send a backlog quickly; the others stay in the device's bounded buffer."""


class Device:
    """Takes readings on a schedule, and publishes each until the broker acknowledges it.

    Args:
        device_id: Id of the device and of its client.
        spec: Initial configuration.
        client: The device's paho client, after `connect_async`.
        make_publisher: Makes the client's traced publisher.
        shared: Settings and objects of the fleet.

    Attributes:
        id: Id of the device.
        spec: Current configuration.
    """

    def __init__(
        self,
        device_id: str,
        spec: DeviceSpec,
        client: DeviceClient,
        make_publisher: Callable[[Client], TracedPublisher],
        shared: Shared,
    ) -> None:
        self.id = device_id
        self.spec = spec
        self._client = client
        self._shared = shared
        self._metrics = shared.metrics
        self._results = shared.results
        self._sensor = Sensor(device_id, random.Random())  # noqa: S311 - weather, not secrets
        self._taken = 0
        self._buffer: deque[OutgoingReading] = deque()
        self._in_flight: dict[int, OutgoingReading] = {}
        self._retries = Retries(shared.retry_s, shared.buffer_readings, self._republish, self._drop_without_subscribers)
        self._has_turn = False
        self._removed = False
        self._reconnects_silently = False
        self._drained = asyncio.Event()
        self._drained.set()
        client.on_publish = self._on_publish
        self._publisher = make_publisher(client)
        self._connection = Connection(
            client, on_up=self._on_connected, on_down=self._on_disconnected, executor=shared.executor
        )
        shared.connectivity.add_device(device_id)
        self._loop = asyncio.get_running_loop()
        self._start_reading(random.random())  # noqa: S311 - spreads load

    @property
    def unacknowledged(self) -> int:
        """Number of readings that are neither acknowledged nor dropped."""
        return len(self._buffer) + len(self._in_flight) + len(self._retries)

    async def run(self, delay: float) -> None:
        """Connect after `delay` seconds, and stay connected until `close`."""
        await self._connection.run(delay)

    def apply(self, spec: DeviceSpec) -> None:
        """Apply another configuration, which has the same protocol."""
        former, self.spec = self.spec, spec
        if spec.interval != former.interval:
            # The same share of the interval remains, so that devices stay spread while a ramp changes it all the time.
            remaining = max(0.0, self._schedule.due - self._loop.time()) / former.interval
            self._timer.cancel()
            self._start_reading(remaining)

    def retry(self) -> None:
        """Connect at once if disconnected: the device may have new credentials."""
        if not self._connection.is_up:
            self._connection.hurry()

    def set_tracer_provider(self, tracer_provider: TracerProvider) -> None:
        """Make further publish spans with another provider, and so with another resource."""
        self._publisher.set_tracer_provider(tracer_provider)

    def reconnect(self, cause: str, *, silently: bool = False) -> None:
        """Send DISCONNECT and connect again after a short back-off, unless the device is not connected.

        Args:
            cause: The cause in the log.
            silently: Whether the device counts as connected meanwhile, unless the first attempt fails.
        """
        if self._connection.is_up:
            self._reconnects_silently = silently
            self._connection.renew(_NORMAL_DISCONNECTION, cause)

    def start_draining(self, *, removed: bool = False) -> None:
        """Take no more readings, and connect at once if readings remain.

        Args:
            removed: Whether the fleet no longer has the device; then its connection no longer counts.
        """
        if removed:
            self._removed = True
            self._shared.connectivity.remove_device(self.id)
        self._timer.cancel()
        if self.unacknowledged:
            self._connection.hurry()

    async def wait_drained(self) -> None:
        """Return when every reading is acknowledged or dropped."""
        await self._drained.wait()

    def drop_unacknowledged(self) -> int:
        """Drop all unacknowledged readings, end their spans, and return the number of these readings."""
        dropped = [*self._buffer, *self._in_flight.values(), *self._retries.clear()]
        for outgoing in dropped:
            self._results.dropped(outgoing)
        self._buffer.clear()
        self._in_flight.clear()
        self._publisher.close()
        self._drained.set()
        return len(dropped)

    async def close(self) -> None:
        """Send DISCONNECT and close the connection."""
        await self._connection.close()

    def _start_reading(self, remaining: float) -> None:
        """Take the next reading when this share of the interval is over."""
        self._schedule = Schedule(self._loop.time() + remaining * self.spec.interval, self.spec.interval)
        self._timer = self._loop.call_at(self._schedule.due, self._take_reading)

    def _take_reading(self) -> None:
        skipped = self._schedule.advance(self._loop.time())
        self._timer = self._loop.call_at(self._schedule.due, self._take_reading)
        if skipped:
            self._metrics.skipped(skipped)
        reading = self._sensor.read(self.spec.payload)
        self._metrics.taken(reading.celsius)
        while len(self._buffer) >= self._shared.buffer_readings:  # more than one when retries have come back
            self._results.dropped(self._buffer.popleft())
            self._metrics.dropped_buffer_full(self.id)
        fault, sequence = self.spec.choose_fault(self._taken), self._results.number(self.spec)
        self._buffer.append(OutgoingReading(reading, fault, sequence))
        self._taken += 1
        self._drained.clear()
        self._request_turn()

    def _request_turn(self) -> None:
        if self._can_send() and not self._has_turn:
            self._has_turn = True
            self._shared.round_robin.add(self._send_one)

    def _send_one(self) -> bool:
        self._has_turn = False  # if publishing raises, the next reading requests a turn again
        if self._can_send():
            self._publish(self._buffer.popleft())
            self._check_drained()
        self._has_turn = self._can_send()
        return self._has_turn

    def _can_send(self) -> bool:
        window = min(_MAX_IN_FLIGHT, self._connection.receive_maximum)
        return bool(self._buffer) and self._connection.is_up and len(self._in_flight) < window

    def _publish(self, outgoing: OutgoingReading) -> None:
        """Hand a reading to paho, which sends it again after each reconnect until it is acknowledged."""
        spec, reading = self.spec, outgoing.reading
        topic = spec.topic(self.id)
        self._client.fault = outgoing.fault
        outgoing.sent_at = time.time()
        info = self._publisher.publish(
            topic,
            reading.payload(),
            spec.qos,
            properties=self._results.properties(outgoing.sequence),
            message_id=reading.message_id,
            template=spec.topic_template,
            context=outgoing.first_context,
            on_outcome=partial(self._on_outcome, outgoing, topic),
        )
        if spec.qos:
            self._in_flight[info.mid] = outgoing
        else:
            self._metrics.acknowledged(self.id)
            self._results.acknowledged(outgoing, by_broker=False)

    def _on_outcome(self, outgoing: OutgoingReading, topic: str, outcome: PublishOutcome) -> None:
        """Log a published reading within its publish span; `metrics` logs errors, once for all devices."""
        span_context = trace.get_current_span().get_span_context()
        outgoing.trace_id = trace.format_trace_id(span_context.trace_id)
        if outcome.error_type is not None or self._needs_retry(outcome.reason_code):
            span = trace.NonRecordingSpan(span_context)
            outgoing.first_context = outgoing.first_context or trace.set_span_in_context(span, Context())
        elif _logger.isEnabledFor(logging.INFO):
            _logger.info(
                "published reading %.2f Cel to %s: message %s, trace %s",
                outgoing.reading.celsius,
                topic,
                outgoing.reading.message_id,
                outgoing.trace_id,
            )

    def _on_publish(
        self, client: Client, userdata: Any, packet_id: int, reason: ReasonCode, properties: Properties
    ) -> None:
        """Handle an acknowledgement, which may come after the time-out of the span."""
        del client, userdata, properties
        if (outgoing := self._in_flight.pop(packet_id, None)) is None:  # QoS 0, or dropped
            return
        if reason.is_failure:
            self._metrics.refused(self.id, reason)
            self._results.refused(outgoing, reason.value)
        elif self._needs_retry(reason.value):
            self._metrics.no_subscribers(self.id)
            self._retries.add(outgoing)
        else:
            self._metrics.acknowledged(self.id)
            self._results.acknowledged(outgoing)
            self._retries.publish_all()
        self._check_drained()
        self._request_turn()

    def _needs_retry(self, reason_code: int) -> bool:
        return reason_code == NO_MATCHING_SUBSCRIBERS and self._shared.retry_s > 0

    def _republish(self, readings: list[OutgoingReading]) -> None:
        """Put readings back into the buffer, before later ones."""
        self._buffer.extendleft(reversed(readings))
        self._request_turn()

    def _drop_without_subscribers(self, outgoing: OutgoingReading) -> None:
        self._metrics.dropped_no_subscribers(self.id)
        self._results.dropped(outgoing)

    def _check_drained(self) -> None:
        if not self._buffer:
            self._metrics.buffer_empty(self.id)
            if not self._in_flight and not self._retries:
                self._drained.set()

    def _on_connected(self, session_present: bool) -> None:
        del session_present  # paho sends unacknowledged readings again in any case
        if not self._removed:
            self._shared.connectivity.set_connected(self.id)
        self._request_turn()  # granted after this callback, and after paho has sent unacknowledged readings again

    def _on_disconnected(self, cause: str) -> None:
        silently, self._reconnects_silently = self._reconnects_silently, False
        if not self._removed and not silently:
            self._shared.connectivity.set_disconnected(self.id, cause)
