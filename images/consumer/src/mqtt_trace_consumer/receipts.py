"""Publishes receipts of numbered readings (see `mqtt_trace.receipt_for`)."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, defaultdict, deque

from paho.mqtt.client import Client
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from mqtt_trace._receipts import ProcessedReading, make_receipt
from mqtt_trace.reasons import NO_MATCHING_SUBSCRIBERS, REFUSED_FROM

_MOST_READINGS = 100
"""Readings of one receipt, which has about 200 bytes for each: few enough for any Maximum Packet Size in use."""
_PATIENCE_S = 10.0
"""Longer than a fleet that has lost its session, for example with a killed broker, needs to subscribe again."""
_AGAIN_S = 0.5
_TOPICS_KNOWN = 1_000
"""Limits the topics without subscribers that are remembered: any publisher may make them up."""

_log = logging.getLogger(__name__)


class Receipts:
    """Publishes one receipt at a time on each topic, with QoS 1.

    Readings that are processed before its PUBACK share the next receipt (group commit): the busier the consumer, the
    fewer packets.

    Args:
        client: Publishes them; call `acknowledged` with each PUBACK that it receives.
        consumer: Name of the consumer.
    """

    def __init__(self, client: Client, consumer: str) -> None:
        self._client = client
        self._consumer = consumer
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[str, deque[tuple[ProcessedReading, asyncio.Future[None]]]] = defaultdict(deque)
        self._publishing: dict[str, asyncio.Task[None]] = {}
        self._pubacks: dict[int, asyncio.Future[int]] = {}
        self._without_subscribers: OrderedDict[str, float] = OrderedDict()
        self._last_warning = ""

    @property
    def in_flight(self) -> int:
        """Number of receipts without a PUBACK."""
        return len(self._pubacks)

    async def confirm(self, topic: str, reading: ProcessedReading) -> None:
        """Return when a receipt with the reading is acknowledged, or has proved to reach nobody.

        While there is no connection, paho keeps it for the next one.
        """
        confirmed: asyncio.Future[None] = self._loop.create_future()
        self._waiting[topic].append((reading, confirmed))
        if topic not in self._publishing:
            self._publishing[topic] = self._loop.create_task(self._publish_all(topic))
        await confirmed

    def acknowledged(self, packet_id: int, reason: ReasonCode) -> None:
        """Note a PUBACK of the client, of whatever publish."""
        puback = self._pubacks.pop(packet_id, None)
        if puback is not None:
            puback.set_result(reason.value)

    async def _publish_all(self, topic: str) -> None:
        waiting = self._waiting[topic]
        try:
            while waiting:
                group = [waiting.popleft() for _ in range(min(len(waiting), _MOST_READINGS))]
                problem = await self._deliver(topic, [reading for reading, _ in group])
                self._warn_once(problem)
                for _, confirmed in group:
                    if not confirmed.done():  # otherwise the worker has been cancelled
                        confirmed.set_result(None)
        finally:
            del self._publishing[topic], self._waiting[topic]

    async def _deliver(self, topic: str, readings: list[ProcessedReading]) -> str:
        """Publish a receipt, and return why it reaches nobody, or nothing."""
        receipt = make_receipt(topic, self._consumer, readings)
        while True:
            info = self._client.publish(topic, receipt.payload, 1)
            if info.rc not in {MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_NO_CONN}:
                return f"a receipt on {topic} was not sent: {MQTTErrorCode(info.rc).name}"
            puback = self._pubacks[info.mid] = self._loop.create_future()
            reason = await puback
            if reason >= REFUSED_FROM:
                return (
                    f"the broker refuses receipts on {topic} (0x{reason:02x}), so the fleet counts its readings as "
                    f"lost: allow us to publish there"
                )
            if reason != NO_MATCHING_SUBSCRIBERS:
                self._without_subscribers.pop(topic, None)
                return ""
            if not self._is_worth_waiting(topic):
                return ""  # the fleet is gone
            await asyncio.sleep(_AGAIN_S)

    def _is_worth_waiting(self, topic: str) -> bool:
        """Whether a topic has been without subscribers only for a short time."""
        now = self._loop.time()
        if topic not in self._without_subscribers and len(self._without_subscribers) >= _TOPICS_KNOWN:
            self._without_subscribers.popitem(last=False)
        return now < self._without_subscribers.setdefault(topic, now + _PATIENCE_S)

    def _warn_once(self, problem: str) -> None:
        """Log a problem once, until it changes."""
        if problem and problem != self._last_warning:
            _log.warning("%s", problem)
        self._last_warning = problem
