"""The expected spans and metrics of one reading, the same on one machine and in a cluster."""

from collections.abc import Iterable, Mapping
from typing import Any

Json = dict[str, Any]

ANY = "<any>"
"""A placeholder for values that differ between runs, such as ids, ports and durations."""


def expected_spans(**attributes: Mapping[str, Any]) -> list[Json]:
    """Return the four spans of a reading of sensor-001: every attribute, in the order of parents.

    Args:
        attributes: By a span's kind, such as `PRODUCER`, what differs where the stack runs.
    """
    return [{**span, "attributes": {**span["attributes"], **attributes.get(span["kind"], {})}} for span in _SPANS]


def as_expected(spans: Iterable[Mapping[str, Any]], expected: Iterable[Json]) -> list[Json]:
    """Return spans of the query API in the form of the expected spans, with ANY in the same places.

    Spans that are not expected come last, with all of their attributes.
    """
    spans = list(spans)
    names = {span["span_id"]: span["name"] for span in spans}
    wanted = {span["name"]: span["attributes"] for span in expected}
    order = {name: number for number, name in enumerate(wanted)}
    return [
        {
            **{key: span[key] for key in ("name", "kind", "service", "status")},
            "parent": names.get(span["parent_span_id"]),
            "links": [names.get(link["span_id"]) for link in span["links"]],
            "attributes": _with_any(span["attributes"], wanted.get(span["name"], {})),
        }
        for span in sorted(spans, key=lambda span: order.get(span["name"], len(order)))
    ]


# The Collector adds these to every resource.
ENVIRONMENT = {"deployment.environment.name": "iot-demo", "environment": "iot-demo"}

# Of the publish span; `telemetry.*`, `service.instance.id` and the Collector's `ENVIRONMENT` come on top.
RESOURCE_OF_A_SENSOR = {
    "device.battery.level": 100,
    "device.firmware.channel": "stable",
    "device.firmware.version": "1.4.2",
    "device.id": "sensor-001",
    "device.kind": "sensor",
    "fleet.id": "fleet-demo",
    "fleet.priority": "normal",
    "fleet.tenant": "acme",
    "service.name": "mqtt-trace-producer",
    "site.id": "site-hq",
}

# Each service reports at least these metrics.
METRICS = {
    "mqtt-trace-producer": {
        "iot.readings.published",
        "iot.sensor.temperature",
        "messaging.client.operation.duration",
        "messaging.client.sent.messages",
    },
    "mqtt-trace-consumer": {
        "iot.reading.age",
        "iot.readings.processed",
        "messaging.client.consumed.messages",
        "messaging.process.duration",
    },
    "mqtt-trace-echo": {"http.server.request.duration"},
}

_SPANS: tuple[Json, ...] = (
    {
        "name": "publish sensors/sensor-001/reading",
        "kind": "PRODUCER",
        "service": "mqtt-trace-producer",
        "parent": None,
        "links": [],
        "status": {"code": "UNSET", "message": ""},
        "attributes": {
            "messaging.client.id": "sensor-001",
            "messaging.destination.name": "sensors/sensor-001/reading",
            "messaging.destination.template": "sensors/{device_id}/reading",
            "messaging.message.body.size": ANY,
            "messaging.message.id": ANY,
            "messaging.operation.name": "publish",
            "messaging.operation.type": "publish",
            "messaging.system": "mqtt",
            "mqtt.qos": 1,
            "mqtt.retain": False,
            "network.protocol.version": "5.0",
            "server.address": "127.0.0.1",
            "server.port": ANY,
        },
    },
    {
        "name": "process sensors/sensor-001/reading",
        "kind": "CONSUMER",
        "service": "mqtt-trace-consumer",
        "parent": "publish sensors/sensor-001/reading",
        "links": [],
        "status": {"code": "UNSET", "message": ""},
        "attributes": {
            "messaging.client.id": ANY,
            "messaging.destination.name": "sensors/sensor-001/reading",
            "messaging.destination.template": "sensors/+/reading",
            "messaging.message.body.size": ANY,
            "messaging.message.id": ANY,
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.system": "mqtt",
            "mqtt.duplicate": False,
            "mqtt.qos": 1,
            "mqtt.retain": False,
            "network.protocol.version": "5.0",
            "server.address": "127.0.0.1",
            "server.port": ANY,
        },
    },
    {
        "name": "POST",
        "kind": "CLIENT",
        "service": "mqtt-trace-consumer",
        "parent": "process sensors/sensor-001/reading",
        "links": [],
        "status": {"code": "UNSET", "message": ""},
        "attributes": {
            "http.request.method": "POST",
            "http.response.status_code": 200,
            "network.peer.address": "127.0.0.1",
            "network.peer.port": ANY,
            "network.protocol.version": "1.1",
            "server.address": "127.0.0.1",
            "server.port": ANY,
            "url.full": ANY,
        },
    },
    {
        "name": "POST /echo",
        "kind": "SERVER",
        "service": "mqtt-trace-echo",
        "parent": "POST",
        "links": [],
        "status": {"code": "UNSET", "message": ""},
        "attributes": {
            "client.address": "127.0.0.1",
            "client.port": ANY,
            "http.request.method": "POST",
            "http.response.status_code": 200,
            "http.route": "/echo",
            "network.protocol.version": "1.1",
            "server.address": "127.0.0.1",
            "server.port": ANY,
            "url.path": "/echo",
            "url.scheme": "http",
            "user_agent.original": ANY,
        },
    },
)


def _with_any(attributes: Mapping[str, Any], wanted: Mapping[str, Any]) -> Json:
    return {key: ANY if wanted.get(key) == ANY else value for key, value in attributes.items()}
