"""Processes one delivery."""

from __future__ import annotations

import asyncio
import logging

from paho.mqtt.client import MQTTMessage

from mqtt_trace import TracedConsumer
from mqtt_trace._receipts import Outcome, describe, receipt_topic
from mqtt_trace.aio import Backoff
from mqtt_trace_consumer.acknowledger import Acknowledger, Delivery
from mqtt_trace_consumer.circuit_breaker import CircuitBreaker
from mqtt_trace_consumer.dead_letter import DeadLetters
from mqtt_trace_consumer.echo import Echo, EchoRefusedError, EchoUnavailableError
from mqtt_trace_consumer.metrics import Metrics
from mqtt_trace_consumer.reading import PoisonPayloadError, Reading, read_reading
from mqtt_trace_consumer.receipts import Receipts

_BETWEEN_TRIES = Backoff(0.2, 2.0)
_SUSPICIOUS = 3
"""Tries after which the reading rather than echo may be the cause, so the log names it."""

_log = logging.getLogger(__name__)


class StaleDeliveryError(Exception):
    """The connection that delivered the message is gone: the broker delivers the message again."""


class Processor:
    """Processes deliveries: a process span, the call to echo in it, the receipt of a numbered reading, then the PUBACK.

    Args:
        consumer: Opens the process spans.
        echo: Where the payloads go.
        circuit_breaker: Shared by all deliveries.
        dead_letters: Publishes a reading that echo refused `max_tries` times.
        acknowledger: Decides which deliveries are still current.
        receipts: Confirms numbered readings before their PUBACK.
        metrics: Counts the deliveries.
        max_tries: Tries before a reading is given up; those while echo is unavailable do not count.
    """

    def __init__(
        self,
        *,
        consumer: TracedConsumer,
        echo: Echo,
        circuit_breaker: CircuitBreaker,
        dead_letters: DeadLetters,
        acknowledger: Acknowledger,
        receipts: Receipts,
        metrics: Metrics,
        max_tries: int,
    ) -> None:
        self._consumer = consumer
        self._echo = echo
        self._circuit_breaker = circuit_breaker
        self._dead_letters = dead_letters
        self._acknowledger = acknowledger
        self._receipts = receipts
        self._metrics = metrics
        self._max_tries = max_tries

    async def process(self, delivery: Delivery) -> None:
        """Process one delivery; errors are recorded in its span and not raised."""
        await self._circuit_breaker.wait_for_permission()
        if not self._acknowledger.is_current(delivery):
            return
        try:
            await self._process(delivery)
        except StaleDeliveryError:
            return
        except (PoisonPayloadError, EchoRefusedError):
            pass  # dead-lettered
        except Exception:  # noqa: BLE001 - no error may stop the worker
            _log.exception("processing a message on %s failed", delivery.message.topic)
        if delivery.receipt is not None:
            with self._acknowledger.awaiting_puback():
                await self._receipts.confirm(*delivery.receipt)
        self._acknowledger.settle(delivery)

    async def _process(self, delivery: Delivery) -> None:
        message = delivery.message
        reading, poison = _inspect(message.payload)
        message_id = reading.message_id
        with self._consumer.process(message, message_id=message_id):
            try:
                await self._post(delivery, message_id, poison)
            except StaleDeliveryError:
                raise
            except Exception as error:
                await self._give_up(message, error, message_id)
                _prepare_receipt(delivery, reading, "dead_lettered")
                raise
            self._metrics.processed(reading, retained=message.retain)
            _prepare_receipt(delivery, reading, "processed")
            _log.info("processed message on %s", message.topic)

    async def _give_up(self, message: MQTTMessage, error: Exception, message_id: str | None) -> None:
        try:
            with self._acknowledger.awaiting_puback():
                await self._dead_letters.publish(message, error, message_id)
        except Exception:  # noqa: BLE001 - no error may lose the message
            self._dead_letters.log(message, error, "could not be created")
            _log.exception("a dead letter for a message on %s failed", message.topic)

    async def _post(self, delivery: Delivery, message_id: str | None, poison: PoisonPayloadError | None) -> None:
        if poison is not None:
            raise poison

        unavailable = 0

        async def attempt() -> None:
            nonlocal unavailable
            if not self._acknowledger.is_current(delivery):
                raise StaleDeliveryError("the connection was lost; the broker delivers the message again")
            try:
                await self._echo.post(delivery.message.payload)
            except EchoUnavailableError as error:
                unavailable += 1
                if unavailable == _SUSPICIOUS:
                    _log.warning(
                        "echo did not accept %s on %s in %d tries (%s); later readings wait for it",
                        "a message" if message_id is None else f"message {message_id}",
                        delivery.message.topic,
                        unavailable,
                        error,
                    )
                raise

        for tries in range(1, self._max_tries + 1):
            try:
                return await self._circuit_breaker.call(attempt)
            except EchoRefusedError:
                if tries == self._max_tries:
                    raise
                await asyncio.sleep(_BETWEEN_TRIES.delay(tries))
        return None


def _prepare_receipt(delivery: Delivery, reading: Reading, outcome: Outcome) -> None:
    """Describe a numbered reading, in its process span."""
    topic = receipt_topic(delivery.message)
    if topic is not None:
        delivery.receipt = topic, describe(delivery.message, outcome, taken_at=reading.taken_at)


def _inspect(payload: bytes | bytearray) -> tuple[Reading, PoisonPayloadError | None]:
    try:
        return read_reading(payload), None
    except PoisonPayloadError as error:
        return Reading(), error
