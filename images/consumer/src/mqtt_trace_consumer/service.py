"""The whole consumer: one MQTT connection, its workers, and the shutdown."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from opentelemetry.trace import TracerProvider
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from mqtt_trace import Options, TracedConsumer, TracedPublisher
from mqtt_trace._paho.tolerant import topic_of
from mqtt_trace.aio import Connection
from mqtt_trace_consumer.acknowledger import Acknowledger
from mqtt_trace_consumer.circuit_breaker import CircuitBreaker
from mqtt_trace_consumer.dead_letter import DeadLetters
from mqtt_trace_consumer.disconnects import Disconnects
from mqtt_trace_consumer.echo import Echo
from mqtt_trace_consumer.metrics import Metrics
from mqtt_trace_consumer.probe import probe_nonce
from mqtt_trace_consumer.processor import Processor
from mqtt_trace_consumer.receipts import Receipts
from mqtt_trace_consumer.settings import Settings
from mqtt_trace_consumer.subscription import Names, Subscription
from mqtt_trace_consumer.window import Window
from mqtt_trace_consumer.workers import Workers

_log = logging.getLogger(__name__)


class Service:
    """Receives readings, hands them to the workers and acknowledges them.

    Create it on the event loop, after the telemetry set-up.
    """

    def __init__(self, settings: Settings, options: Options, echo: Echo, tracer_provider: TracerProvider) -> None:
        self._settings = settings
        self._broker = settings.broker_address
        self._names = Names(settings.mqtt_topic_filter, settings.mqtt_share_group, settings.mqtt_client_id)
        self._client = _client(settings)
        self._connection = Connection(self._client, on_up=self._connected, on_down=self._disconnected)
        window = Window(settings.receive_maximum, self._connection)
        self._acknowledger = Acknowledger(self._acknowledge, window)
        self._subscription = Subscription(self._client, self._names, lambda: self._acknowledger.in_flight > 0)
        self._receipts = Receipts(self._client, settings.mqtt_client_id)
        self._publisher = TracedPublisher(self._client, tracer_provider=tracer_provider, options=options)
        self._metrics = Metrics(settings.mqtt_topic_filter)
        self._circuit_breaker = CircuitBreaker()
        self._workers = Workers(settings.echo_concurrency, self._processor(options, echo, tracer_provider).process)
        self._client.on_message = self._received
        self._client.on_publish = self._published
        self._disconnects = Disconnects(settings.mqtt_client_id, time.monotonic)
        self._had_session = False
        self._taking = True
        self._dropping = False
        self._last_warning = ""

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop` is set; then finish what is in progress, and disconnect."""
        connection = asyncio.create_task(self._connection.run())
        stopping = asyncio.create_task(stop.wait())
        async with self._workers:
            await asyncio.wait({connection, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            _log.info("stopping: %d readings are not acknowledged yet", self._acknowledger.in_flight)
            session_ends = not connection.done() and await self._finish()
        await self._disconnect(session_ends=session_ends)
        await connection

    def status(self) -> tuple[bool, Mapping[str, object]]:
        """Whether readings can arrive, and the details for `GET /ready`."""
        return self._connection.is_up and self._subscription.delivers, {
            "subscribed": self._subscription.subscribed,
            "paused": not self._circuit_breaker.is_closed,
            "processed": self._metrics.processed_total,
            "dead_lettered": self._metrics.dead_lettered_total,
            "in_flight": self._acknowledger.in_flight,
        }

    def _processor(self, options: Options, echo: Echo, tracer_provider: TracerProvider) -> Processor:
        return Processor(
            consumer=TracedConsumer(
                self._client, [self._names.subscription], tracer_provider=tracer_provider, options=options
            ),
            echo=echo,
            circuit_breaker=self._circuit_breaker,
            dead_letters=DeadLetters(
                self._publisher,
                prefix=self._settings.dead_letter_topic_prefix,
                topic_filter=self._settings.mqtt_topic_filter,
                maximum_packet_size=lambda: self._connection.maximum_packet_size,
                metrics=self._metrics,
            ),
            acknowledger=self._acknowledger,
            receipts=self._receipts,
            metrics=self._metrics,
            max_tries=self._settings.echo_max_tries,
        )

    def _connected(self, session_present: bool) -> None:
        self._last_warning = ""
        self._disconnects.up()
        _log.info("connected to %s as %s", self._broker, self._settings.mqtt_client_id)
        if self._had_session and not session_present:
            _log.warning("the broker has lost our session: readings sent while we were disconnected are lost")
        self._had_session = True
        self._subscription.connected(session_present)

    def _disconnected(self, cause: str) -> None:
        self._acknowledger.connection_lost()
        self._workers.discard_unacknowledged()
        self._subscription.disconnected()
        explanation = self._disconnects.explain(cause, self._connection.reason_code)
        if explanation != self._last_warning:
            self._last_warning = explanation
            _log.warning("not connected to %s: %s; trying again", self._broker, explanation)

    def _received(self, client: Client, userdata: Any, message: MQTTMessage) -> None:
        del client, userdata
        if not self._taking:
            return  # the broker delivers it again; a discarded reading takes no room in the window
        topic = topic_of(message)
        nonce = probe_nonce(message)
        if nonce is None:
            self._subscription.reading_arrived(topic)
        else:
            self._subscription.probe_arrived(nonce)
        delivery = self._acknowledger.receive(message)
        if delivery is None:
            return
        if nonce is None:
            self._note_drop(dropped=not self._workers.put(delivery))
        else:
            self._acknowledger.settle(delivery)

    def _published(
        self, client: Client, userdata: Any, packet_id: int, reason: ReasonCode, properties: Properties | None
    ) -> None:
        del client, userdata, properties
        self._subscription.published(packet_id, reason)
        self._receipts.acknowledged(packet_id, reason)

    def _acknowledge(self, message: MQTTMessage) -> None:
        self._client.ack(message.mid, message.qos)

    def _note_drop(self, *, dropped: bool) -> None:
        if dropped:
            self._metrics.dropped()
            if not self._dropping:
                _log.warning(
                    "dropping readings of QoS 0: they arrive faster than they are processed; readings of QoS 1 wait"
                )
            self._dropping = True
        elif self._dropping and self._workers.is_relieved:
            self._dropping = False
            _log.info("no longer dropping readings of QoS 0")

    async def _finish(self) -> bool:
        """Finish readings within the drain time-out, and return whether the session is empty and may end."""
        leaves = self._settings.leaves_for_good
        try:
            async with asyncio.timeout(self._settings.drain_timeout_s):
                if leaves:
                    self._connection.hurry()
                    await self._leave()
                    return True
                await self._finish_begun()
        except TimeoutError as error:
            _log.warning(
                "stopped with %d readings not acknowledged (%s): the session of %s keeps them for %d s%s",
                self._acknowledger.in_flight,
                str(error) or f"not done within {self._settings.drain_timeout_s:g} s",
                self._settings.mqtt_client_id,
                self._settings.mqtt_session_expiry_s,
                ", and because it is still subscribed, the broker adds new ones"
                if leaves and not self._subscription.left
                else "",
            )
        return False

    async def _leave(self) -> None:
        """Unsubscribe and finish the readings of the session, which no other replica receives.

        All on one connection: after a lost connection the broker resends unacknowledged readings, and a session that is
        still subscribed keeps receiving its share.
        """
        while True:
            await self._connection.wait_up()
            connection = self._acknowledger.connection
            with suppress(ConnectionError):
                await self._subscription.leave()
                await self._workers.wait_idle()
                if self._acknowledger.connection == connection:
                    return

    async def _finish_begun(self) -> None:
        """Finish the readings in progress, unless the circuit breaker is open; the session keeps the others."""
        self._taking = False
        self._workers.discard_unacknowledged()
        waits = {asyncio.create_task(self._workers.wait_idle()), asyncio.create_task(self._circuit_breaker.wait_open())}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _disconnect(self, *, session_ends: bool) -> None:
        properties = None
        if session_ends:
            properties = Properties(PacketTypes.DISCONNECT)
            properties.SessionExpiryInterval = 0
        await self._connection.close(properties)
        self._publisher.close()


def _client(settings: Settings) -> Client:
    client = settings.make_client(settings.mqtt_client_id, manual_ack=True)
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = settings.mqtt_session_expiry_s
    properties.ReceiveMaximum = settings.receive_maximum
    client.connect_async(
        settings.mqtt_broker_host,
        settings.mqtt_broker_port,
        settings.mqtt_keepalive_s,
        clean_start=False,
        properties=properties,
    )
    return client
