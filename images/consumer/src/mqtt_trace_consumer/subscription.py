"""The subscription: requested on every connection, checked by SUBACK, proven by a probe."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from mqtt_trace.aio import Backoff
from mqtt_trace.reasons import REFUSED_FROM
from mqtt_trace.topics import Subscriptions
from mqtt_trace_consumer.probe import probe_properties, probe_topic

_ANSWER_TIMEOUT_S = 10.0
_PROBE_INTERVAL_S = 5.0
_RECENT_S = 10.0
_RETAINED_IF_NEW = 1
"""Retain Handling (MQTT 5, section 3.8.3.1): a reconnect to the same session must not bring retained messages again."""

_NO_RETAINED = SubscribeOptions(qos=1, retainHandling=2)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Names:
    """What to subscribe to.

    Attributes:
        topic_filter: The filter of the readings.
        group: Group of a shared subscription (MQTT 5, section 4.8.2), or None.
        client_id: Our client id.
    """

    topic_filter: str
    group: str | None
    client_id: str

    @property
    def subscription(self) -> str:
        """The filter in SUBSCRIBE."""
        return self.topic_filter if self.group is None else f"$share/{self.group}/{self.topic_filter}"

    @property
    def probe_topic(self) -> str:
        """The topic of our probes."""
        return probe_topic(self.topic_filter, self.client_id)

    @property
    def all_filters(self) -> list[str]:
        """The shared subscription, and one for our probes that is not shared, or another replica could receive them.

        With a filter without wildcards, that second subscription would deliver each reading twice, so there is none. A
        probe may then reach another replica; we send probes until one comes back.
        """
        if self.group is None or self.probe_topic == self.topic_filter:
            return [self.subscription]
        return [self.subscription, self.probe_topic]


class Subscription:
    """Keeps the subscription on one client; `connected` and `disconnected` report the connection's state.

    It sets the client's `on_subscribe` and `on_unsubscribe`; `published` takes the client's PUBACKs.

    Args:
        client: The client.
        names: What to subscribe to.
        holds_readings: Returns whether readings of this connection are unacknowledged.

    Attributes:
        subscribed: Whether the broker has granted it, on this connection.
        left: Whether the broker has confirmed the UNSUBSCRIBE; until then our session receives its share.
    """

    def __init__(self, client: Client, names: Names, holds_readings: Callable[[], bool]) -> None:
        self._client = client
        self._names = names
        self._readings = Subscriptions([names.topic_filter])
        self._holds_readings = holds_readings
        self._backoff = Backoff(1.0, 30.0)
        self._loop = asyncio.get_running_loop()
        self._answers: dict[int, asyncio.Future[list[ReasonCode]]] = {}
        self._probes: dict[str, asyncio.Future[None]] = {}
        self._probe_sent: int | None = None
        self._probe_puback: ReasonCode | None = None
        self._task: asyncio.Task[None] | None = None
        self._last_warning = ""
        self._leaving = False
        self.left = False
        self._warned_of_earlier = False
        self._proven = self._unanswered = False
        self._last_reading = float("-inf")
        self.subscribed = False
        client.on_subscribe = self._answered
        client.on_unsubscribe = self._answered

    @property
    def delivers(self) -> bool:
        """Whether messages arrive on this connection: a probe did, or readings do.

        Behind a backlog, or while echo is away, a probe expires before it is delivered. With a broker that ignores
        Receive Maximum, the SUBACK waits there too; the session still has its subscription.
        """
        return (self.subscribed or self._unanswered) and (self._proven or self._readings_come)

    @property
    def _readings_come(self) -> bool:
        """Whether a reading is held or arrived recently, so that the broker's answers may wait behind readings."""
        return self._holds_readings() or self._loop.time() - self._last_reading < _RECENT_S

    def connected(self, session_present: bool) -> None:
        """Subscribe and probe, on a new connection."""
        if self._leaving:
            return
        if session_present and self._names.group is not None:
            # A subscription of an earlier start without a group would deliver every reading a second time.
            self._client.unsubscribe(self._names.topic_filter)
        self._unanswered = True
        self._task = self._loop.create_task(self._establish())

    def disconnected(self) -> None:
        """Reset the state."""
        self.subscribed = self._proven = self._unanswered = False
        self._last_reading = float("-inf")
        if self._task is not None:
            self._task.cancel()
            self._task = None
        expected: list[asyncio.Future[Any]] = [*self._answers.values(), *self._probes.values()]
        for answer in expected:
            if not answer.done():
                answer.set_exception(ConnectionError("the connection was lost"))

    def probe_arrived(self, nonce: str) -> None:
        """Note a probe; one of another replica, or of an earlier connection, is no proof."""
        probe = self._probes.get(nonce)
        if probe is not None and not probe.done():
            probe.set_result(None)

    def published(self, packet_id: int, code: ReasonCode) -> None:
        """Note a PUBACK, of whatever publish: that of our probe says whether we may publish it."""
        if packet_id == self._probe_sent:
            self._probe_puback = code

    def reading_arrived(self, topic: str) -> None:
        """Note a reading, on any topic: a session keeps its subscriptions when the filter changes."""
        self._last_reading = self._loop.time()
        if not (self._warned_of_earlier or self._readings.match(topic)):
            self._warned_of_earlier = True
            _log.warning(
                "a reading on %s does not match %s: our session still holds an earlier subscription, and its readings "
                "are processed too; to drop it, choose another MQTT_CLIENT_ID",
                topic,
                self._names.topic_filter,
            )

    async def leave(self) -> None:
        """Unsubscribe, and return when all messages that the broker had queued for us have arrived.

        A probe marks the end: the broker keeps one queue per session.

        Raises:
            TimeoutError: The broker does not answer.
            ConnectionError: There is no connection, or it was lost; try again on the next one.
        """
        self._leaving = True
        if self._task is not None:
            self._task.cancel()
        await self._answer(self._client.unsubscribe(self._names.subscription))
        self.left = True
        # The probe topic may have no subscription yet: on our first connection, or for a filter without wildcards.
        await self._answer(self._client.subscribe(self._names.probe_topic, options=_NO_RETAINED))
        with self._expected_probe() as (nonce, probe):
            self._publish_probe(nonce, expiry_s=60)
            await probe

    async def _establish(self) -> None:
        failures = 0
        while (problem := await self._subscribe()) is not None:
            failures += 1
            self._warn_once(problem)
            await asyncio.sleep(self._backoff.delay(failures))
        self.subscribed = True
        _log.info("subscribed to %s", self._names.subscription)
        while (problem := await self._probe()) is not None:
            if not self.delivers:
                self._warn_once(problem)
        self._proven = True
        self._last_warning = ""
        _log.info("ready: a probe on %s came back", self._names.probe_topic)

    async def _subscribe(self) -> str | None:
        """Subscribe to every filter, and return the problem with the answer, if any."""
        filters = self._names.all_filters
        options = SubscribeOptions(qos=1, retainHandling=_RETAINED_IF_NEW)
        try:
            codes = await self._answer(self._client.subscribe([(name, options) for name in filters]))
        except (TimeoutError, ConnectionError) as error:
            return str(error) or f"no SUBACK for {filters[0]} within {_ANSWER_TIMEOUT_S:g} s"
        self._unanswered = False
        refused = [
            f"{name} ({code}, 0x{code.value:02x})"
            for name, code in zip(filters, codes, strict=False)
            if code.value >= REFUSED_FROM
        ]
        if refused:
            return f"the broker refused to subscribe us to {' and '.join(refused)}"
        if any(code.value == 0 for code in codes):
            return f"the broker grants QoS 0 for {self._names.subscription}: readings would be lost, allow QoS 1"
        return None

    async def _probe(self) -> str | None:
        """Send a probe, wait for it, and return the problem if it does not come back."""
        topic = self._names.probe_topic
        with self._expected_probe() as (nonce, probe):
            self._publish_probe(nonce, expiry_s=max(1, round(_PROBE_INTERVAL_S)))
            # While its PUBACK waits behind readings, another probe would wait there too.
            if await self._is_in_time(probe, _PROBE_INTERVAL_S, lambda: self._probe_puback is None):
                return None
            refusal = self._probe_puback
            if refusal is not None and refusal.value >= REFUSED_FROM:
                return f"not ready: the broker refused a probe on {topic} ({refusal}): allow us to publish there"
            return (
                f"not ready: subscribed to {self._names.subscription}, but a probe on {topic} did not come back; "
                f"check that the broker's ACL lets us read topics that match {self._names.topic_filter}"
            )

    async def _is_in_time(
        self, expected: asyncio.Future[Any], timeout_s: float, may_wait: Callable[[], bool] = lambda: True
    ) -> bool:
        """Whether it is done in time; while readings keep arriving, the broker's answers are not late."""
        while True:
            try:
                async with asyncio.timeout(timeout_s):
                    await asyncio.shield(expected)
            except TimeoutError:
                if not (may_wait() and self._readings_come):
                    return False
            else:
                return True

    @contextmanager
    def _expected_probe(self) -> Iterator[tuple[str, asyncio.Future[None]]]:
        """A probe's nonce, and a future that ends when the probe arrives or the connection is lost."""
        nonce = secrets.token_hex(8)
        self._probes[nonce] = self._loop.create_future()
        try:
            yield nonce, self._probes[nonce]
        finally:
            del self._probes[nonce]

    def _publish_probe(self, nonce: str, *, expiry_s: int) -> None:
        self._probe_puback = None
        properties = probe_properties(nonce, expiry_s)
        self._probe_sent = self._client.publish(self._names.probe_topic, b"", 1, properties=properties).mid

    async def _answer(self, sent: tuple[MQTTErrorCode, int | None]) -> list[ReasonCode]:
        error, packet_id = sent
        if error != MQTTErrorCode.MQTT_ERR_SUCCESS or packet_id is None:
            raise ConnectionError(f"SUBSCRIBE or UNSUBSCRIBE was not sent: {error.name}")
        answer: asyncio.Future[list[ReasonCode]] = self._loop.create_future()
        self._answers[packet_id] = answer
        try:
            if not await self._is_in_time(answer, _ANSWER_TIMEOUT_S):
                raise TimeoutError
            return answer.result()
        finally:
            self._answers.pop(packet_id, None)

    def _answered(
        self, client: Client, userdata: Any, packet_id: int, codes: list[ReasonCode], properties: Properties | None
    ) -> None:
        del client, userdata, properties
        answer = self._answers.get(packet_id)
        if answer is not None and not answer.done():
            answer.set_result(codes)

    def _warn_once(self, problem: str) -> None:
        """Log a problem once, until it changes."""
        if problem != self._last_warning:
            self._last_warning = problem
            _log.warning("%s", problem)
