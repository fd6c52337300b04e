"""Keeps a paho client connected on an asyncio loop.

paho's `loop_start` costs a thread, three descriptors and a `select()` per client, which ends at some hundreds of
clients. A `Connection` serves a client from the running event loop, which has room for thousands, and reconnects with a
`Backoff`.
"""

from mqtt_trace._paho.backoff import Backoff
from mqtt_trace._paho.connection import REFUSED, Connection

__all__ = ["REFUSED", "Backoff", "Connection"]
