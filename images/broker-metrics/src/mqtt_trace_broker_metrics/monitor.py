"""Stays connected to the broker and subscribed to its statistics."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from paho.mqtt.client import Client, MQTTMessage

from mqtt_trace.aio import Connection
from mqtt_trace_broker_metrics.settings import Settings
from mqtt_trace_broker_metrics.statistics import TOPICS, Statistics

_FIRST_WITHIN_S = 30.0
"""Mosquitto retains its statistics, so they arrive at once; after its start, it publishes them after a sys_interval."""

_log = logging.getLogger(__name__)


class Monitor:
    """Receives the broker's statistics. Create it on the event loop."""

    def __init__(self, settings: Settings, statistics: Statistics) -> None:
        self._broker = settings.broker_address
        self._statistics = statistics
        self._client = settings.make_client(settings.mqtt_client_id)
        self._client.connect_async(settings.mqtt_broker_host, settings.mqtt_broker_port, settings.mqtt_keepalive_s)
        self._client.on_message = self._received
        self._connection = Connection(self._client, on_up=self._connected, on_down=self._disconnected)
        self._loop = asyncio.get_running_loop()
        self._check: asyncio.TimerHandle | None = None
        self._last_warning = ""

    async def run(self, stop: asyncio.Event) -> None:
        """Stay connected until `stop` is set."""
        connection = asyncio.create_task(self._connection.run())
        await stop.wait()
        self._cancel_check()
        await self._connection.close()
        await connection

    def status(self) -> tuple[bool, Mapping[str, object]]:
        """Whether statistics arrive, and the details for `GET /ready`."""
        return self._connection.is_up and self._statistics.known > 0, {
            "connected": self._connection.is_up,
            "statistics": self._statistics.known,
        }

    def _connected(self, _session_present: bool) -> None:
        self._last_warning = ""
        _log.info("connected to %s", self._broker)
        self._client.subscribe(TOPICS)
        self._check = self._loop.call_later(_FIRST_WITHIN_S, self._warn_without_statistics)

    def _disconnected(self, cause: str) -> None:
        self._cancel_check()
        self._statistics.forget()
        if cause != self._last_warning:
            self._last_warning = cause
            _log.warning("not connected to %s: %s; trying again", self._broker, cause)

    def _received(self, client: Client, userdata: Any, message: MQTTMessage) -> None:
        del client, userdata
        known = self._statistics.known
        self._statistics.received(message.topic, message.payload)
        if not known and self._statistics.known:
            _log.info("the broker's statistics arrive")

    def _warn_without_statistics(self) -> None:
        # A SUBACK proves nothing: Mosquitto grants a subscription that its ACL forbids.
        if not self._statistics.known:
            _log.warning(
                "no statistics on %s: the broker's ACL forbids them, its sys_interval is 0, or it is not Mosquitto",
                TOPICS,
            )

    def _cancel_check(self) -> None:
        if self._check is not None:
            self._check.cancel()
            self._check = None
