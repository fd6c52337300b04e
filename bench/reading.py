"""The reading that every measurement publishes."""

import json
import time

TOPIC = "bench/sensor-001/reading"
TOPIC_FILTER = "bench/+/reading"


def make_payload(message_id: str) -> bytes:
    """Return the payload of a reading."""
    document = {"device_id": "sensor-001", "reading": 21.5, "message_id": message_id, "ts": time.time()}
    return json.dumps(document).encode()
