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
from paho.mqtt.client import Client
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from mqtt_trace import PublishOutcome, TracedPublisher
from mqtt_trace.aio import Connection
from mqtt_trace_producer.connectivity import Connectivity
from mqtt_trace_producer.pace import Pace
from mqtt_trace_producer.sensor import Reading, Sensor
from mqtt_trace_producer.tally import Tally
from mqtt_trace_producer.turns import Turns

_logger = logging.getLogger(__name__)

TOPIC_TEMPLATE = "sensors/{device_id}/reading"

_WINDOW = 10
"""Readings under way at once: enough to send a backlog quickly, few enough to keep it bounded by our own buffer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What all devices of a fleet have in common.

    Attributes:
        interval: Seconds between two readings of a device.
        qos: Of each PUBLISH.
        buffer_readings: How many readings of a device may wait to be sent.
        tally: Told what becomes of readings.
        connectivity: Told what becomes of connections.
        turns: Says who may send.
        executor: Where the blocking part of connecting runs.
    """

    interval: float
    qos: int
    buffer_readings: int
    tally: Tally
    connectivity: Connectivity
    turns: Turns
    executor: Executor


class Device:
    """Takes readings at a steady pace and publishes each until the broker has acknowledged it.

    Args:
        device_id: Its id, also the client's.
        client: Its own paho client, after `connect_async`.
        make_publisher: Makes the client's traced publisher.
        shared: What it has in common with the others.
    """

    def __init__(
        self, device_id: str, client: Client, make_publisher: Callable[[Client], TracedPublisher], shared: Shared
    ) -> None:
        self.id = device_id
        self._topic = TOPIC_TEMPLATE.format(device_id=device_id)
        self._shared = shared
        self._tally = shared.tally
        self._sensor = Sensor(device_id, random.Random())  # noqa: S311 - weather, not secrets
        self._waiting: deque[Reading] = deque()
        self._under_way: set[int] = set()
        self._in_turn = False
        self._idle = asyncio.Event()
        self._idle.set()
        client.on_publish = self._acknowledged  # before the publisher, which calls it after its own
        self._publisher = make_publisher(client)
        self._connection = Connection(client, on_up=self._up, on_down=self._down, executor=shared.executor)
        shared.connectivity.expect()
        self._loop = asyncio.get_running_loop()
        start = self._loop.time() + random.uniform(0, shared.interval)  # noqa: S311 - spreads load
        self._pace = Pace(start, shared.interval)
        self._timer = self._loop.call_at(self._pace.due, self._on_time)

    @property
    def unacknowledged(self) -> int:
        """Readings that were taken and neither acknowledged nor dropped."""
        return len(self._waiting) + len(self._under_way)

    async def run(self, delay: float) -> None:
        """Stay connected from `delay` seconds on until `close`."""
        await self._connection.run(delay)

    def stop_reading(self) -> None:
        """Take no more readings."""
        self._timer.cancel()

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
        self._publisher.close()
        return given_up

    async def close(self) -> None:
        """Disconnect."""
        await self._connection.close()

    def _on_time(self) -> None:
        skipped = self._pace.advance(self._loop.time())
        self._timer = self._loop.call_at(self._pace.due, self._on_time)
        if skipped:
            self._tally.skipped(skipped)
        reading = self._sensor.read()
        self._tally.took(reading.celsius)
        if len(self._waiting) == self._shared.buffer_readings:
            self._waiting.popleft()
            self._tally.overflowed(self.id)
        self._waiting.append(reading)
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

    def _publish(self, reading: Reading) -> None:
        """Hand a reading to paho, which sends it again after a reconnect until it is acknowledged."""
        info = self._publisher.publish(
            self._topic,
            reading.payload(),
            self._shared.qos,
            message_id=reading.message_id,
            template=TOPIC_TEMPLATE,
            on_outcome=partial(self._log, reading),
        )
        if self._shared.qos:
            self._under_way.add(info.mid)
        else:
            self._tally.acknowledged(self.id)

    def _log(self, reading: Reading, outcome: PublishOutcome) -> None:
        """Called with the reading's span as the current one; errors are told once for all devices, by the tally."""
        if outcome.error_type is None and _logger.isEnabledFor(logging.INFO):
            trace_id = trace.format_trace_id(trace.get_current_span().get_span_context().trace_id)
            _logger.info(
                "published reading %.2f Cel to %s: message %s, trace %s",
                reading.celsius,
                self._topic,
                reading.message_id,
                trace_id,
            )

    def _acknowledged(
        self, client: Client, userdata: Any, packet_id: int, reason: ReasonCode, properties: Properties
    ) -> None:
        """The broker has answered, even if only after the span had ended by its time-out."""
        del client, userdata, properties
        if packet_id not in self._under_way:  # QoS 0, or given up
            return
        self._under_way.discard(packet_id)
        if reason.is_failure:
            self._tally.refused(self.id, reason)
        else:
            self._tally.acknowledged(self.id)
        self._settle()
        self._ask_for_turn()

    def _settle(self) -> None:
        if not self._waiting:
            self._tally.caught_up(self.id)
            if not self._under_way:
                self._idle.set()

    def _up(self, session_present: bool) -> None:
        del session_present  # paho sends again what is not acknowledged, session or not
        self._shared.connectivity.up(self.id)
        self._ask_for_turn()  # which comes after this callback, as does what paho sends again

    def _down(self, cause: str) -> None:
        self._shared.connectivity.down(self.id, cause)
