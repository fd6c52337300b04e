"""The will of a client, which paho sends with each CONNECT."""

from __future__ import annotations

from typing import NamedTuple

from paho.mqtt.client import Client
from paho.mqtt.properties import Properties


class Will(NamedTuple):
    """A will as the program set it."""

    topic: bytes
    payload: bytes | bytearray
    qos: int
    retain: bool
    properties: Properties | None


def will_of(client: Client) -> Will | None:
    """The will of a client, None if it has none."""
    if not client._will:  # noqa: SLF001 - see compat
        return None
    return Will(
        client._will_topic,  # noqa: SLF001 - as above
        client._will_payload,  # noqa: SLF001 - as above
        client._will_qos,  # noqa: SLF001 - as above
        bool(client._will_retain),  # noqa: SLF001 - as above
        client._will_properties,  # noqa: SLF001 - as above
    )


def set_will_properties(client: Client, properties: Properties | None) -> None:
    """Change the will properties of the next CONNECT."""
    client._will_properties = properties  # noqa: SLF001 - see compat
