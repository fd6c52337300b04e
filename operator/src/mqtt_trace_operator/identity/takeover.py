"""Ends the connections of revoked sensors: Mosquitto checks a certificate only when a client connects."""

import asyncio
import logging
import os
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from mqtt_trace.aio import Connection
from mqtt_trace_operator.identity.certificates import Authority

_logger = logging.getLogger(__name__)

_TIMEOUT_S = 5.0
_MAX_CONCURRENT = 8


@dataclass(frozen=True)
class CertificateListener:
    """The broker's listener for sensors with certificates.

    Attributes:
        host: Its host.
        port: Its TCP port.
        ca_file: PEM file of the authority that signed the broker's certificate.
    """

    host: str
    port: int
    ca_file: Path


class Takeover:
    """Connects as a sensor for a moment, for which the broker ends the sensor's connection (MQTT 5, section 3.1.4).

    Args:
        listener: The broker's listener.
        authority: Issues the certificates for it.
    """

    def __init__(self, listener: CertificateListener, authority: Authority) -> None:
        self._listener = listener
        self._authority = authority
        self._slots = asyncio.Semaphore(_MAX_CONCURRENT)

    async def end_connections(self, client_ids: Iterable[str]) -> None:
        """End the connections of these sensors; logs which ones it cannot end."""
        await asyncio.gather(*map(self._end_connection, client_ids))

    async def _end_connection(self, client_id: str) -> None:
        client = Client(CallbackAPIVersion.VERSION2, client_id, protocol=MQTTProtocolVersion.MQTTv5)
        client.tls_set_context(await asyncio.to_thread(self._make_context, client_id))
        client.connect_async(self._listener.host, self._listener.port)
        causes = ["no answer"]
        async with self._slots:
            connection = Connection(client, on_down=causes.append)
            running = asyncio.create_task(connection.run())
            try:
                await asyncio.wait_for(connection.wait_up(), _TIMEOUT_S)
            except TimeoutError:
                _logger.warning("%s is revoked and may still be connected: %s", client_id, causes[-1])
            await connection.close()
            await running

    def _make_context(self, client_id: str) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self._listener.ca_file)
        # OpenSSL takes certificates from files only, and the container's files are read-only.
        with os.fdopen(os.memfd_create(client_id), "wb") as file:
            file.write(self._authority.issue(client_id, datetime.now(UTC)))
            file.flush()
            context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
        return context
