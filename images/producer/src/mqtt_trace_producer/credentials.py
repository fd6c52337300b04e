"""Credentials of a device's own, which are read again before every attempt to connect."""

import ssl
from pathlib import Path
from typing import Protocol

from paho.mqtt.client import Client
from paho.mqtt.enums import MQTTErrorCode

from mqtt_trace_producer.faults import FaultyClient


class Credentials(Protocol):
    """Credentials of one device."""

    def load(self, client: Client) -> None:
        """Read the current credentials into the device's client.

        Raises:
            OSError: They cannot be read.
            ValueError: They cannot be used.
        """


class Password:
    """A device's own password in a file; its user name is its id.

    Args:
        folder: Folder with a file per device, named by its id.
        device_id: Id of the device.
    """

    def __init__(self, folder: Path, device_id: str) -> None:
        self._device_id = device_id
        self._file = folder / device_id

    def load(self, client: Client) -> None:
        """Set user name and password of the next CONNECT."""
        client.username_pw_set(self._device_id, self._file.read_text().rstrip("\n"))


class Certificate:
    """A device's own certificate in a file, followed by its key.

    Args:
        folder: Folder with a PEM file per device, `<id>.pem`.
        device_id: Id of the device.
        context: The context of the device's connections.
    """

    def __init__(self, folder: Path, device_id: str, context: ssl.SSLContext) -> None:
        self._file = folder / f"{device_id}.pem"
        self._context = context

    def load(self, client: Client) -> None:
        """Set the certificate of the next TLS handshake."""
        del client  # it has the context already
        # With an empty password an encrypted key is an error; without one OpenSSL prompts on the terminal.
        self._context.load_cert_chain(self._file, password="")


class DeviceClient(FaultyClient):
    """The client of a device.

    Attributes:
        credentials: The device's own credentials, None if it uses those of the settings.
    """

    credentials: Credentials | None = None

    def reconnect(self) -> MQTTErrorCode:
        """Connect like paho's client, with the current credentials."""
        if self.credentials is not None:
            self.credentials.load(self)
        return super().reconnect()
