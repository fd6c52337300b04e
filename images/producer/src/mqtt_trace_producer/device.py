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
from mqtt_trace_producer.metrics import Tally
from mqtt_trace_producer.retries import Outgoing, Retries
from mqtt_trace_producer.round_robin import Turns
from mqtt_trace_producer.schedule import Pace
from mqtt_trace_producer.sensor import Sensor

_logger = logging.getLogger(__name__)

_WINDOW = 10
"""Readings under way at once: enough to send a backlog quickly, few enough to keep it bounded by our own buffer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What all devices of a fleet have in common.

    Attributes:
        buffer_readings: How many readings of a device may wait to be sent.
        retry_s: Seconds for which a reading without subscribers is published again; 0 for never.
        tally: Told what becomes of readings.
        connectivity: Told what becomes of connections.
        turns: Says who may send.
        executor: Where the blocking part of connecting runs.
    """

    buffer_readings: int
    retry_s: float
    tally: Tally
    connectivity: Connectivity
    turns: Turns
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
        self._tally = shared.tally
        self._sensor = Sensor(device_id, random.Random())  # noqa: S311 - weather, not secrets
        self._taken = 0
        self._waiting: deque[Outgoing] = deque()
        self._under_way: dict[int, Outgoing] = {}
        self._retries = Retries(shared.retry_s, shared.buffer_readings, self._publish_again, self._give_up_unheard)
        self._in_turn = False
        self._wanted = True
        self._idle = asyncio.Event()
        self._idle.set()
        client.on_publish = self._acknowledged
        self._publisher = make_publisher(client)
        self._connection = Connection(client, on_up=self._up, on_down=self._down, executor=shared.executor)
        shared.connectivity.expect()
        self._loop = asyncio.get_running_loop()
        self._start_reading()

    @property
    def unacknowledged(self) -> int:
        """Readings that were taken and neither acknowledged nor dropped."""
        return len(self._waiting) + len(self._under_way) + len(self._retries)

    async def run(self, delay: float) -> None:
        """Stay connected from `delay` seconds on until `close`."""
        await self._connection.run(delay)

    def follow(self, spec: DeviceSpec) -> None:
        """Do from now on what another spec with the same protocol asks."""
        another_pace = spec.interval != self.spec.interval
        self.spec = spec
        if another_pace:
            self._timer.cancel()
            self._start_reading()

    def trace_with(self, tracer_provider: TracerProvider) -> None:
        """Make further publish spans with another provider, that is, another resource."""
        self._publisher.set_tracer_provider(tracer_provider)

    def retire(self) -> None:
        """Take no more readings, and count as gone although what was taken is still to be acknowledged."""
        self.stop_reading()
        self._wanted = False
        self._shared.connectivity.forget(self.id)

    def stop_reading(self) -> None:
        """Take no more readings, and waste no time before those that were taken can be sent."""
        self._timer.cancel()
        if self.unacknowledged:
            self._connection.hurry()

    async def wait_idle(self) -> None:
        """Return when every reading has been acknowledged or dropped."""
        await self._idle.wait()

    def give_up(self) -> int:
        """Forget what is not acknowledged and end its spans.

        Returns:
            How many readings that were.
        """
        given_up = self.unacknowledged
        self._waiting.clear()
        self._under_way.clear()
        self._retries.clear()
        self._publisher.close()
        self._idle.set()
        return given_up

    async def close(self) -> None:
        """Disconnect."""
        await self._connection.close()

    def _start_reading(self) -> None:
        start = self._loop.time() + random.uniform(0, self.spec.interval)  # noqa: S311 - spreads load
        self._pace = Pace(start, self.spec.interval)
        self._timer = self._loop.call_at(self._pace.due, self._on_time)

    def _on_time(self) -> None:
        skipped = self._pace.advance(self._loop.time())
        self._timer = self._loop.call_at(self._pace.due, self._on_time)
        if skipped:
            self._tally.skipped(skipped)
        reading = self._sensor.read()
        self._tally.took(reading.celsius)
        while len(self._waiting) >= self._shared.buffer_readings:  # more than one, when some came back
            self._waiting.popleft()
            self._tally.overflowed(self.id)
        self._waiting.append(Outgoing(reading, self.spec.fault(self._taken)))
        self._taken += 1
        self._idle.clear()
        self._ask_for_turn()

    def _ask_for_turn(self) -> None:
        if self._can_send() and not self._in_turn:
            self._in_turn = True
            self._shared.turns.ask(self._take_turn)

    def _take_turn(self) -> bool:
        self._in_turn = False  # should this fail, the next reading asks again
        if self._can_send():
            self._publish(self._waiting.popleft())
            self._settle()
        self._in_turn = self._can_send()
        return self._in_turn

    def _can_send(self) -> bool:
        window = min(_WINDOW, self._connection.receive_maximum)
        return bool(self._waiting) and self._connection.is_up and len(self._under_way) < window

    def _publish(self, outgoing: Outgoing) -> None:
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
            context=outgoing.origin,
            on_outcome=partial(self._ended, outgoing, topic),
        )
        if spec.qos:
            self._under_way[info.mid] = outgoing
        else:
            self._tally.acknowledged(self.id)

    def _ended(self, outgoing: Outgoing, topic: str, outcome: PublishOutcome) -> None:
        """Called with the publish span as the current one; errors are told once for all devices, by the tally."""
        span_context = trace.get_current_span().get_span_context()
        if outcome.error_type is not None or self._goes_again(outcome.reason_code):
            span = trace.NonRecordingSpan(span_context)
            outgoing.origin = outgoing.origin or trace.set_span_in_context(span, Context())
        elif _logger.isEnabledFor(logging.INFO):
            _logger.info(
                "published reading %.2f Cel to %s: message %s, trace %s",
                outgoing.reading.celsius,
                topic,
                outgoing.reading.message_id,
                trace.format_trace_id(span_context.trace_id),
            )

    def _acknowledged(
        self, client: Client, userdata: Any, packet_id: int, reason: ReasonCode, properties: Properties
    ) -> None:
        """The broker has answered, even if only after the span had ended by its time-out."""
        del client, userdata, properties
        outgoing = self._under_way.pop(packet_id, None)
        if outgoing is None:  # QoS 0, or given up
            return
        if reason.is_failure:
            self._tally.refused(self.id, reason)
        elif self._goes_again(reason.value):
            self._tally.unheard(self.id)
            self._retries.unheard(outgoing)
        else:
            self._tally.acknowledged(self.id)
            self._retries.heard()
        self._settle()
        self._ask_for_turn()

    def _goes_again(self, reason_code: int) -> bool:
        return reason_code == NO_MATCHING_SUBSCRIBERS and self._shared.retry_s > 0

    def _publish_again(self, readings: list[Outgoing]) -> None:
        """Before those that were taken later."""
        self._waiting.extendleft(reversed(readings))
        self._ask_for_turn()

    def _give_up_unheard(self) -> None:
        self._tally.gave_up_unheard(self.id)

    def _settle(self) -> None:
        if not self._waiting:
            self._tally.caught_up(self.id)
            if not self._under_way and not self._retries:
                self._idle.set()

    def _up(self, session_present: bool) -> None:
        del session_present  # paho sends again what is not acknowledged, session or not
        if self._wanted:
            self._shared.connectivity.up(self.id)
        self._ask_for_turn()  # which comes after this callback, as does what paho sends again

    def _down(self, cause: str) -> None:
        if self._wanted:
            self._shared.connectivity.down(self.id, cause)
