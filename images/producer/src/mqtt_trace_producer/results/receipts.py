"""The connection that receives the receipts for this pod."""

import asyncio
import logging
from typing import Any

from mqtt_trace_service import BrokerSettings
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from mqtt_trace.aio import Connection
from mqtt_trace_producer.results.receipt import InvalidReceiptError, Receipt, read_receipt
from mqtt_trace_producer.results.recorder import Results

_SESSION_EXPIRY_S = 3600
"""Receipts wait that long while the container restarts."""
_RECEIVE_MAXIMUM = 500
"""Receipts that the broker may deliver a second time; the ledger knows many more ids."""
_AGAIN_S = 5.0

_logger = logging.getLogger(__name__)


class ReceiptConnection:
    """Subscribes to the topic of receipts, with a persistent session.

    With QoS 1: paho acknowledges the first half of QoS 2 before the message can be saved, and a process that is killed
    then never gets it. The id of a receipt tells a second delivery.

    Args:
        settings: The broker.
        client_id: Client id of the connection.
        topic: The topic.
        results: Records the receipts.
    """

    def __init__(self, settings: BrokerSettings, client_id: str, topic: str, results: Results) -> None:
        self._topic = topic
        self._results = results
        self._last_problem = ""
        client = settings.make_client(client_id, manual_ack=True)
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = _SESSION_EXPIRY_S
        properties.ReceiveMaximum = _RECEIVE_MAXIMUM
        client.connect_async(
            settings.mqtt_broker_host,
            settings.mqtt_broker_port,
            settings.mqtt_keepalive_s,
            clean_start=False,
            properties=properties,
        )
        client.on_message = self._received
        client.on_subscribe = self._subscribed
        self._client = client
        self._connection = Connection(client, on_up=self._up, on_down=self._down)

    async def run(self) -> None:
        """Stay connected until `close`."""
        await self._connection.run()

    async def close(self) -> None:
        """Disconnect, and end the session if no reading waits for a receipt."""
        properties = None
        if not self._results.waiting:
            properties = Properties(PacketTypes.DISCONNECT)
            properties.SessionExpiryInterval = 0
        await self._connection.close(properties)

    def _up(self, session_present: bool) -> None:
        del session_present
        self._client.subscribe(self._topic, qos=1)

    def _down(self, cause: str) -> None:
        self._results.connection_lost()
        self._log_once(f"receipts cannot arrive: {cause}; trying again")

    def _subscribed(
        self, client: Client, userdata: Any, packet_id: int, codes: list[ReasonCode], properties: Properties | None
    ) -> None:
        del client, userdata, packet_id, properties
        if any(code.is_failure for code in codes):
            self._log_once(f"the broker refuses to subscribe us to {self._topic}: readings count as lost until it does")
            asyncio.get_running_loop().call_later(_AGAIN_S, self._client.subscribe, self._topic, 1)
        else:
            self._last_problem = ""
            _logger.info("receipts arrive on %s", self._topic)

    def _received(self, client: Client, userdata: Any, message: MQTTMessage) -> None:
        del client, userdata

        def acknowledge() -> None:
            self._client.ack(message.mid, message.qos)

        try:
            receipt = read_receipt(message)
        except InvalidReceiptError as error:
            self._log_once(f"not a receipt, on {message.topic}: {error}")
            receipt = Receipt(readings=[])
        self._results.receive(receipt, acknowledge, redelivered=message.dup)

    def _log_once(self, problem: str) -> None:
        """Log a problem once, until it changes."""
        if problem != self._last_problem:
            self._last_problem = problem
            _logger.warning("%s", problem)
