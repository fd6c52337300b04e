"""One simulated device: a sensor, its bounded buffer and its own connection to the broker."""

import asyncio
import logging
import random
from collections import deque
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any

from opentelemetry import trace
from paho.mqtt.client import Client
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from mqtt_trace import PublishOutcome, TracedPublisher
from mqtt_trace.aio import Connection
from mqtt_trace_producer.connectivity import Connectivity
from mqtt_trace_producer.pace import Pace
from mqtt_trace_producer.sensor import Reading, Sensor
from mqtt_trace_producer.tally import Tally

_logger = logging.getLogger(__name__)

TOPIC_TEMPLATE = "sensors/{device_id}/reading"

_WINDOW = 10
"""Readings under way at once: enough to send a backlog quickly, few enough to keep it bounded by our own buffer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What all devices of a fleet do.

    Attributes:
        interval: Seconds between two readings.
        qos: Of each PUBLISH.
        buffer_readings: How many readings may wait to be sent.
    """

    interval: float
    qos: int
    buffer_readings: int


class Device:
    """Takes readings at a steady pace and publishes each until the broker has acknowledged it.

    Args:
        device_id: Its id, also the client's.
        client: Its own paho client, after `connect_async`.
        publisher: Makes the client's traced publisher.
        plan: What it does.
        tally: Told what becomes of its readings.
        connectivity: Told what becomes of its connection.
        executor: Where the blocking part of connecting runs.
    """

    def __init__(
        self,
        device_id: str,
        client: Client,
        publisher: "partial[TracedPublisher]",
        *,
        plan: Plan,
        tally: Tally,
        connectivity: Connectivity,
        executor: Executor,
    ) -> None:
        self.id = device_id
        self._topic = TOPIC_TEMPLATE.format(device_id=device_id)
        self._plan = plan
        self._tally = tally
        self._connectivity = connectivity
        self._sensor = Sensor(device_id, random.Random())  # noqa: S311 - weather, not secrets
        self._waiting: deque[Reading] = deque()
        self._under_way: set[int] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._loop = asyncio.get_running_loop()
        self._pace = Pace(self._loop.time() + random.uniform(0, plan.interval), plan.interval)  # noqa: S311 - as above
        self._timer = self._loop.call_at(self._pace.due, self._on_time)
        client.on_publish = self._acknowledged  # before the publisher, which calls it after its own
        self._publisher = publisher(client)
        self._connection = Connection(client, on_up=self._up, on_down=self._down, executor=executor)
        connectivity.expect()

    @property
    def unacknowledged(self) -> int:
        """Readings that were taken and neither acknowledged nor dropped."""
        return len(self._waiting) + len(self._under_way)

    async def run(self, delay: float) -> None:
        """Stay connected from `delay` seconds on until `close`."""
        await asyncio.sleep(delay)
        await self._connection.run()

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
        if len(self._waiting) == self._plan.buffer_readings:
            self._waiting.popleft()
            self._tally.overflowed(self.id)
        self._waiting.append(reading)
        self._idle.clear()
        self._send()

    def _send(self) -> None:
        window = min(_WINDOW, self._connection.receive_maximum)
        while self._waiting and self._connection.is_up and len(self._under_way) < window:
            if not self._publish(self._waiting[0]):
                return
            self._waiting.popleft()
        self._settle()

    def _publish(self, reading: Reading) -> bool:
        """Hand a reading to paho, which sends it again after a reconnect until it is acknowledged."""
        info = self._publisher.publish(
            self._topic,
            reading.payload(),
            self._plan.qos,
            message_id=reading.message_id,
            template=TOPIC_TEMPLATE,
            on_outcome=partial(self._log, reading),
        )
        if self._plan.qos == 0:
            if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
                return False
            self._tally.acknowledged(self.id)
        else:
            self._under_way.add(info.mid)
        return True

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
        if self._waiting:
            self._loop.call_soon(self._send)  # not now: paho has not yet closed its books on this one
        else:
            self._settle()

    def _settle(self) -> None:
        if not self._waiting:
            self._tally.caught_up(self.id)
            if not self._under_way:
                self._idle.set()

    def _up(self, session_present: bool) -> None:
        del session_present  # paho sends again what is not acknowledged, session or not
        self._connectivity.up(self.id)
        self._loop.call_soon(self._send)  # not now: what paho sends again goes first

    def _down(self, cause: str) -> None:
        self._connectivity.down(self.id, cause)
