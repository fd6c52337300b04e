"""What one reading leaves behind after it went through the whole stack."""

import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from local.connected import missing_step
from local.scout import Scout, span_from_json
from local.stack import Stack

Json = dict[str, Any]

ANY = "<any>"

# The spans of a reading as a whole: every attribute, and the order of parents. Values that differ from run to run, such
# as ids, ports and durations, are ANY.
EXPECTED: list[Json] = [
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
        "links": ["publish sensors/sensor-001/reading"],
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
            "server.address": ANY,
            "server.port": ANY,
            "url.path": "/echo",
            "url.scheme": "http",
            "user_agent.original": ANY,
        },
    },
]

RESOURCE_OF_A_SENSOR = {
    "deployment.environment.name": "iot-demo",
    "device.battery.level": 100,
    "device.firmware.channel": "stable",
    "device.firmware.version": "1.4.2",
    "device.id": "sensor-001",
    "device.kind": "sensor",
    "environment": "iot-demo",
    "fleet.id": "fleet-demo",
    "fleet.priority": "normal",
    "fleet.tenant": "acme",
    "service.name": "mqtt-trace-producer",
    "site.id": "site-hq",
}

METRICS = {
    "mqtt-trace-producer": {
        "iot.readings.published",
        "iot.sensor.temperature",
        "messaging.client.operation.duration",
        "messaging.client.sent.messages",
    },
    "mqtt-trace-consumer": {
        "iot.readings.processed",
        "messaging.client.consumed.messages",
        "messaging.process.duration",
    },
    "mqtt-trace-echo": {"http.server.request.duration"},
}


def ask(stack: Stack, path: str, **parameters: str) -> Json:
    """Ask scout-sim's query API."""
    answer = httpx.get(f"{stack.scout_url}/api/{path}", params=parameters, trust_env=False)
    answer.raise_for_status()
    result: Json = answer.json()
    return result


def wait_for(condition: Callable[[], bool]) -> None:
    """Return when it is true, fail after half a minute."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true within 30 s"
        time.sleep(0.1)


@pytest.fixture
def reading(stack: Stack) -> Json:
    """A trace of sensor-001 to which all of its spans have come, as the query API gives it."""
    connected: list[Json] = []

    def found() -> bool:
        for summary in ask(stack, "traces", name="publish sensors/sensor-001/reading")["traces"]:
            trace = ask(stack, f"traces/{summary['trace_id']}")
            if missing_step([span_from_json(span) for span in trace["spans"]]) is None:
                connected.append(trace)
        return bool(connected)

    wait_for(found)
    return connected[0]


def as_expected(spans: list[Json]) -> list[Json]:
    """Return the spans in the form of EXPECTED, with ANY where EXPECTED has it."""
    names = {span["span_id"]: span["name"] for span in spans}
    order = {expected["name"]: number for number, expected in enumerate(EXPECTED)}
    expectations = {expected["name"]: expected for expected in EXPECTED}
    return [
        {
            **{key: span[key] for key in ("name", "kind", "service", "status")},
            "parent": names.get(span["parent_span_id"]),
            "links": [names.get(link["span_id"]) for link in span["links"]],
            "attributes": with_any(span["attributes"], expectations.get(span["name"], {}).get("attributes")),
        }
        for span in sorted(spans, key=lambda span: order.get(span["name"], len(order)))
    ]


def with_any(attributes: Json, expected: Json | None) -> Json:
    """Return the attributes with ANY where that is all that is expected of them."""
    return {key: ANY if (expected or {}).get(key) == ANY else value for key, value in attributes.items()}


def test_a_reading_is_exactly_four_spans(reading: Json) -> None:
    """Names, kinds, services, parents, links, status and every attribute are what they have to be, and nothing more."""
    assert as_expected(reading["spans"]) == EXPECTED


def test_both_ends_name_the_same_message(reading: Json) -> None:
    """The publish and the process span carry the payload's message id."""
    publish, process = sorted(
        (span for span in reading["spans"] if span["kind"] in ("PRODUCER", "CONSUMER")), key=lambda span: span["kind"]
    )[::-1]
    assert publish["attributes"]["messaging.message.id"] == process["attributes"]["messaging.message.id"]
    assert publish["attributes"]["messaging.message.body.size"] == process["attributes"]["messaging.message.body.size"]


def test_the_resource_says_which_sensor_it_was(reading: Json) -> None:
    """The publish span's resource has the IoT attributes of its device."""
    publish = next(span for span in reading["spans"] if span["kind"] == "PRODUCER")
    resource = {key: value for key, value in publish["resource"].items() if not key.startswith("telemetry.")}
    resource.pop("service.instance.id")
    assert resource == RESOURCE_OF_A_SENSOR


def test_the_logs_of_each_service_are_found_by_the_trace(stack: Stack, reading: Json) -> None:
    """Producer, consumer and echo each logged within the trace, to OTLP and as JSON on standard output."""
    trace_id = reading["trace_id"]
    services = {"mqtt-trace-producer", "mqtt-trace-consumer", "mqtt-trace-echo"}
    wait_for(lambda: {log["service"] for log in ask(stack, "logs", trace_id=trace_id)["logs"]} == services)
    for part in ("producer", "consumer", "echo"):
        lines = [json.loads(line) for line in stack.log(part).splitlines()]
        assert any(line.get("trace_id") == trace_id for line in lines)


@pytest.mark.parametrize("service", METRICS)
def test_the_metrics_of_each_service_arrive(stack: Stack, service: str) -> None:
    """Each service reports what DESIGN promises of it, without a device in the resource of a metric."""

    def metrics() -> list[Json]:
        found: list[Json] = ask(stack, "metrics", service=service)["metrics"]
        return found

    wait_for(lambda: {metric["name"] for metric in metrics()} >= METRICS[service])
    if service == "mqtt-trace-producer":
        assert not [metric["name"] for metric in metrics() if "device.id" in metric["resource"]]


def test_two_sensors_have_a_resource_each(stack: Stack) -> None:
    """Both devices of the producer's process publish under their own id."""
    with Scout(stack.scout_url) as scout:
        for device in ("sensor-001", "sensor-002"):
            wait_for(lambda device=device: bool(scout.trace_ids(attribute=f"device.id={device}")))  # type: ignore[misc] # mypy does not infer a lambda with a default
