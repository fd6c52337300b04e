"""Dead letters: a message that cannot be processed goes to its own topic, or without a subscriber there to the log."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import Callable

from paho.mqtt.client import MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from mqtt_trace import PublishOutcome, TracedPublisher
from mqtt_trace.reasons import NO_MATCHING_SUBSCRIBERS
from mqtt_trace_consumer.metrics import Metrics

ERROR_TYPE = "error.type"
ERROR_MESSAGE = "error.message"
ORIGINAL_TOPIC = "original.topic"

_OURS = frozenset({ERROR_TYPE, ERROR_MESSAGE, ORIGINAL_TOPIC})
_KEPT = ("PayloadFormatIndicator", "ContentType", "ResponseTopic", "CorrelationData")
_LONGEST_MESSAGE = 1_000
_OVERHEAD = 1_000
"""Bytes of a packet in addition to topic, properties and payload: its header and the trace context."""

_log = logging.getLogger(__name__)
"""Alert on its ERROR lines to notice lost readings."""


class DeadLetters:
    """Publishes dead letters with QoS 1 under `<prefix>/`.

    Args:
        publisher: Publishes with the client that received the message.
        prefix: First levels of the topic; the original topic follows.
        topic_filter: The filter of the readings, for `messaging.destination.template`.
        maximum_packet_size: Returns the broker's limit in bytes, None without one. A broker closes the connection on a
            longer packet, and paho would resend the packet on every new one.
        metrics: Counts the dead letters.
    """

    def __init__(
        self,
        publisher: TracedPublisher,
        *,
        prefix: str,
        topic_filter: str,
        maximum_packet_size: Callable[[], int | None],
        metrics: Metrics,
    ) -> None:
        self._publisher = publisher
        self._prefix = prefix
        self._template = f"{prefix}/{topic_filter}"
        self._maximum_packet_size = maximum_packet_size
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()

    async def publish(self, message: MQTTMessage, error: Exception, message_id: str | None) -> None:
        """Return when the dead letter is acknowledged, or else the whole message is logged."""
        outcome = await self._publish(message, error, message_id)
        problem = _problem(outcome)
        if problem is not None:
            self.log(message, error, problem)
            return
        self._metrics.dead_lettered(type(error).__name__, published=True)
        _log.warning("dead-lettered message on %s: %s", message.topic, error)

    def log(self, message: MQTTMessage, error: Exception, problem: str) -> None:
        """Log the whole message instead of publishing a dead letter."""
        self._metrics.dead_lettered(type(error).__name__, published=False)
        _log.error("a dead letter %s, so here it is: %s", problem, in_words(message, error))

    async def _publish(self, message: MQTTMessage, error: Exception, message_id: str | None) -> PublishOutcome:
        topic = f"{self._prefix}/{message.topic}"
        properties = dead_letter_properties(message, error)
        limit = self._maximum_packet_size()
        size = len(topic.encode()) + len(properties.pack()) + len(message.payload) + _OVERHEAD
        if limit is not None and size > limit:
            return PublishOutcome(0, 0, "too_large", f"the broker takes {limit} bytes")
        ended: asyncio.Future[PublishOutcome] = self._loop.create_future()

        def end(outcome: PublishOutcome) -> None:
            if not ended.done():
                ended.set_result(outcome)

        def end_soon(outcome: PublishOutcome) -> None:
            self._loop.call_soon_threadsafe(end, outcome)  # another thread reports time-outs

        try:
            self._publisher.publish(
                topic,
                message.payload,
                qos=1,
                properties=properties,
                message_id=message_id,
                template=self._template,
                on_outcome=end_soon,
            )
        except ValueError as refused:  # for example, the prefix makes the topic too long
            return PublishOutcome(0, 0, type(refused).__name__, str(refused))
        return await ended


def dead_letter_properties(message: MQTTMessage, error: Exception) -> Properties:
    """The properties of the message, and the error.

    The expiry is left out, because operators look for lost readings later.
    """
    properties = Properties(PacketTypes.PUBLISH)
    original = vars(message.properties) if message.properties is not None else {}
    user_properties = [
        *(pair for pair in original.get("UserProperty", ()) if pair[0] not in _OURS),
        (ERROR_TYPE, type(error).__name__),
        (ERROR_MESSAGE, str(error)[:_LONGEST_MESSAGE]),
        (ORIGINAL_TOPIC, message.topic),
    ]
    # Without paho's checks: a property that the broker accepted must not prevent the dead letter.
    vars(properties).update({name: original[name] for name in _KEPT if name in original}, UserProperty=user_properties)
    return properties


def in_words(message: MQTTMessage, error: Exception) -> str:
    """The whole message as JSON, with a payload that is not UTF-8 in base64."""
    document: dict[str, object] = {
        "topic": message.topic,
        "error": {"type": type(error).__name__, "message": str(error)},
        "qos": message.qos,
        "retain": message.retain,
        "properties": message.properties.json() if message.properties is not None else {},
    }
    try:
        document["payload"] = message.payload.decode()
    except UnicodeDecodeError:
        document["payload_base64"] = base64.b64encode(message.payload).decode()
    return json.dumps(document, default=_binary)


def _binary(value: object) -> str:
    return bytes(value).hex() if isinstance(value, bytes | bytearray) else str(value)


def _problem(outcome: PublishOutcome) -> str | None:
    if outcome.error_type is not None:
        return f"could not be published ({outcome.error_type}: {outcome.description})"
    return "has no subscriber" if outcome.reason_code == NO_MATCHING_SUBSCRIBERS else None
