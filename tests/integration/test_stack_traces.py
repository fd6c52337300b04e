"""The telemetry of one reading that went through the whole stack."""

import json
from functools import partial

import httpx
import pytest

from local.connected import missing_step
from local.golden import ENVIRONMENT, METRICS, RESOURCE_OF_A_SENSOR, Json, as_expected, expected_spans
from local.scout import Scout, span_from_json
from local.stack import Stack
from local.waiting import until


def ask(stack: Stack, path: str, **parameters: str) -> Json:
    """Ask scout-sim's query API."""
    answer = httpx.get(f"{stack.scout_url}/api/{path}", params=parameters, trust_env=False)
    answer.raise_for_status()
    result: Json = answer.json()
    return result


@pytest.fixture
def reading(stack: Stack) -> Json:
    """A complete trace of sensor-001, as the query API returns it."""

    def connected() -> Json | None:
        for summary in ask(stack, "traces", name="publish sensors/sensor-001/reading")["traces"]:
            trace = ask(stack, f"traces/{summary['trace_id']}")
            if missing_step([span_from_json(span) for span in trace["spans"]]) is None:
                return trace
        return None

    return until(connected, "a connected trace of sensor-001", every_s=0.1)


def test_a_reading_is_exactly_four_spans(reading: Json) -> None:
    """Names, kinds, services, parents, links, status and all attributes are as expected, with no others."""
    expected = expected_spans()
    assert as_expected(reading["spans"], expected) == expected


def test_both_ends_name_the_same_message(reading: Json) -> None:
    """The publish and the process span carry the payload's message id."""
    publish, process = sorted(
        (span for span in reading["spans"] if span["kind"] in ("PRODUCER", "CONSUMER")), key=lambda span: span["kind"]
    )[::-1]
    assert publish["attributes"]["messaging.message.id"] == process["attributes"]["messaging.message.id"]
    assert publish["attributes"]["messaging.message.body.size"] == process["attributes"]["messaging.message.body.size"]


def test_the_resource_says_which_sensor_it_was(stack: Stack, reading: Json) -> None:
    """The publish span's resource has the IoT attributes of its device."""
    publish = next(span for span in reading["spans"] if span["kind"] == "PRODUCER")
    resource = {key: value for key, value in publish["resource"].items() if not key.startswith("telemetry.")}
    resource.pop("service.instance.id")
    assert resource == {**RESOURCE_OF_A_SENSOR, **(ENVIRONMENT if stack.has_collector else {})}


def test_the_resource_says_that_the_consumer_is_a_gateway(reading: Json) -> None:
    """Both spans of the consumer come from a gateway, the echo's from no device."""
    kinds = {span["kind"]: span["resource"].get("device.kind") for span in reading["spans"]}
    assert kinds == {"PRODUCER": "sensor", "CONSUMER": "gateway", "CLIENT": "gateway", "SERVER": None}


def test_the_logs_of_each_service_are_found_by_the_trace(stack: Stack, reading: Json) -> None:
    """Producer, consumer and echo each logged within the trace, to OTLP and as JSON on standard output."""
    trace_id = reading["trace_id"]
    services = {"mqtt-trace-producer", "mqtt-trace-consumer", "mqtt-trace-echo"}
    until(
        lambda: {log["service"] for log in ask(stack, "logs", trace_id=trace_id)["logs"]} == services,
        f"log records of {services}",
    )
    for part in ("producer", "consumer", "echo"):
        lines = [json.loads(line) for line in stack.log(part).splitlines()]
        assert any(line.get("trace_id") == trace_id for line in lines)


@pytest.mark.parametrize("service", METRICS)
def test_the_metrics_of_each_service_arrive(stack: Stack, service: str) -> None:
    """Each service reports its metrics, without a device in the resource of any."""

    def metrics() -> list[Json]:
        found: list[Json] = ask(stack, "metrics", service=service)["metrics"]
        return found

    until(lambda: {metric["name"] for metric in metrics()} >= METRICS[service], f"the metrics of {service}")
    assert not [metric["name"] for metric in metrics() if "device.id" in metric["resource"]]


def test_two_sensors_have_a_resource_each(stack: Stack) -> None:
    """Both devices of the producer's process publish under their own id."""
    with Scout(stack.scout_url) as scout:
        for device in ("sensor-001", "sensor-002"):
            until(partial(scout.trace_ids, attribute=f"device.id={device}"), f"a trace of {device}")
