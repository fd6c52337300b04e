"""Receipts: how a consumer confirms, by number, each reading of a SensorFleet with a scenario.

Each of those readings has its number, the sequence, in a user property, and a Response Topic (MQTT 5, section
3.3.2.3.5). A receipt is a message on that topic. Publish it once the reading is processed, with QoS 1, and acknowledge
the reading after the PUBACK of the receipt: a consumer that is killed in between receives the reading again, and the
fleet counts a duplicate rather than a loss.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

from opentelemetry import trace

from mqtt_trace._message import ReceivedMessage
from mqtt_trace._propagation import MissingReason, extract

SEQUENCE = "mqtt-trace-sequence"
"""The user property with the number of a reading. Its value is opaque to consumers."""
TOPIC_PREFIX = "mqtt-trace/receipts/"
"""The beginning of every Response Topic that a receipt may be published to. A publisher chooses the Response Topic, and
a consumer that answered on any topic would lend it its own rights."""

Outcome = Literal["processed", "dead_lettered"]
"""What became of a reading."""

_LONGEST = 1_024
"""Characters of a sequence or a topic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessedReading:
    """A reading in a receipt.

    Attributes:
        sequence: Its number.
        outcome: What became of it.
        at: When, in seconds since the epoch.
        age: Seconds from its measurement to `at`; None if the measurement has no time.
        missing_context: Why it had no usable trace context; None if it had one.
        trace_id: Its trace, 32 hexadecimal digits; None if there is none.
    """

    sequence: str
    outcome: Outcome
    at: float
    age: float | None = None
    missing_context: MissingReason | None = None
    trace_id: str | None = None


class Receipt(NamedTuple):
    """A message to publish.

    Attributes:
        topic: Its topic.
        payload: Its payload, JSON.
    """

    topic: str
    payload: bytes


def receipt_topic(message: ReceivedMessage) -> str | None:
    """The topic for the receipt of a message; None if the message asks for none."""
    properties = getattr(message, "properties", None)
    topic = getattr(properties, "ResponseTopic", None)
    if not isinstance(topic, str) or not topic.startswith(TOPIC_PREFIX) or len(topic) > _LONGEST:
        return None
    return None if "+" in topic or "#" in topic or sequence_of(message) is None else topic


def sequence_of(message: ReceivedMessage) -> str | None:
    """The number of a reading; None if it has none."""
    pairs = getattr(getattr(message, "properties", None), "UserProperty", ())
    return next((value for name, value in pairs if name == SEQUENCE and len(value) <= _LONGEST), None)


def describe(
    message: ReceivedMessage, outcome: Outcome = "processed", *, taken_at: float | None = None
) -> ProcessedReading:
    """Describe a numbered reading that was processed now, within its process span if it has one.

    Args:
        message: The reading.
        outcome: What became of it.
        taken_at: When it was measured, in seconds since the epoch.
    """
    extracted = extract(getattr(getattr(message, "properties", None), "UserProperty", ()))
    origin = None if extracted.missing is not None else extracted.context
    span = trace.get_current_span(origin).get_span_context()
    now = time.time()
    return ProcessedReading(
        sequence=sequence_of(message) or "",
        outcome=outcome,
        at=now,
        age=None if taken_at is None else now - taken_at,
        missing_context=extracted.missing,
        trace_id=trace.format_trace_id(span.trace_id) if span.is_valid else None,
    )


def make_receipt(topic: str, consumer: str, readings: Sequence[ProcessedReading]) -> Receipt:
    """Make one receipt for several readings with the same Response Topic.

    Its `id` shows a fleet that a receipt which the broker delivers again is no second one.

    Args:
        topic: Their Response Topic.
        consumer: Name of the consumer, such as its client id.
        readings: The readings.
    """
    document: dict[str, Any] = {
        "id": uuid.uuid4().hex,
        "consumer": consumer,
        "readings": [asdict(reading) for reading in readings],
    }
    return Receipt(topic, json.dumps(document, separators=(",", ":")).encode())


def receipt_for(
    message: ReceivedMessage, consumer: str, outcome: Outcome = "processed", *, taken_at: float | None = None
) -> Receipt | None:
    """Make the receipt of a message that was processed now; None if the message asks for none.

    Args:
        message: The message.
        consumer: Name of the consumer, such as its client id.
        outcome: `processed`, or `dead_lettered` if the consumer has given the message up.
        taken_at: When the reading was measured, in seconds since the epoch, for its age.
    """
    topic = receipt_topic(message)
    if topic is None:
        return None
    return make_receipt(topic, consumer, [describe(message, outcome, taken_at=taken_at)])
