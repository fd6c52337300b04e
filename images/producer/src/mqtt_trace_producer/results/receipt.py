"""Reads receipts; their senders may be programs of others."""

from typing import Annotated

from paho.mqtt.client import MQTTMessage
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from mqtt_trace import MissingReason
from mqtt_trace._receipts import Outcome, sequence_of
from mqtt_trace_producer.results.sequence import Sequence


class InvalidReceiptError(ValueError):
    """A message that is no receipt; the text says why."""


def _sequence(text: object) -> Sequence:
    sequence = Sequence.parse(text) if isinstance(text, str) else None
    if sequence is None:
        raise ValueError("must be the value of mqtt-trace-sequence")
    return sequence


class ConfirmedReading(BaseModel):
    """A reading that a consumer has processed; see `mqtt_trace._receipts.ProcessedReading`."""

    model_config = ConfigDict(frozen=True)

    sequence: Annotated[Sequence, BeforeValidator(_sequence)]
    outcome: Outcome = "processed"
    at: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    age: float | None = Field(default=None, allow_inf_nan=False)
    missing_context: MissingReason | None = None
    trace_id: str | None = Field(default=None, pattern=r"^[0-9a-f]{32}$")


class Receipt(BaseModel):
    """The readings of one receipt.

    Attributes:
        id: Differs for each receipt; None if the consumer gives it none.
        consumer: Name of the consumer.
        readings: The readings.
    """

    model_config = ConfigDict(frozen=True)

    id: str | None = Field(default=None, max_length=64)
    consumer: str = Field(default="", max_length=256)
    readings: list[ConfirmedReading]


def read_receipt(message: MQTTMessage) -> Receipt:
    """Read a receipt: JSON, or an empty payload with the sequence of one reading as its user property.

    Raises:
        InvalidReceiptError: The message is neither.
    """
    sequence = sequence_of(message)
    try:
        if not message.payload and sequence is not None:
            return Receipt(readings=[ConfirmedReading.model_validate({"sequence": sequence})])
        return Receipt.model_validate_json(message.payload)
    except ValidationError as error:
        first, *_ = error.errors(include_url=False, include_input=False)
        place = ".".join(str(part) for part in first["loc"])
        raise InvalidReceiptError(f"{place}: {first['msg']}" if place else first["msg"]) from None
