"""Every reading of an installed chart is one connected trace, and all three signals of it arrive."""

import pytest

from e2e.readings import expected_of, require_exact, wait_complete
from e2e.release import VERSION, Published, Release, logs_of, now, spans_of, until
from local.golden import METRICS, RESOURCE_OF_A_SENSOR, Json
from local.scout import Scout

SERVICES = {"mqtt-trace-producer", "mqtt-trace-consumer", "mqtt-trace-echo"}
ENVIRONMENT = "k8s-tests"


@pytest.fixture(scope="module")
def readings(release: Release) -> list[Published]:
    """Readings that the producer logged once everything was ready."""
    release.published_next(4, now())  # including those that waited for the consumer
    return release.published_next(12, now())


def without_own(resource: Json) -> Json:
    """Return a resource without the attributes that differ between processes."""
    return {
        key: value for key, value in resource.items() if not key.startswith(("telemetry.", "service.instance.", "k8s."))
    }


def test_every_reading_is_exactly_its_four_spans(release: Release, scout: Scout, readings: list[Published]) -> None:
    """The trace has exactly the four expected spans, with all attributes."""
    require_exact(scout, readings, expected_of(release))


def test_the_resource_says_which_sensor_it_was(scout: Scout, readings: list[Published]) -> None:
    """The publish span's resource has the IoT attributes of its own device."""
    wait_complete(scout, readings)
    sensors = set()
    for reading in readings:
        publish = next(span for span in spans_of(scout, reading.trace_id) if span["kind"] == "PRODUCER")
        sensor = publish["attributes"]["messaging.client.id"]
        environment = {"deployment.environment.name": ENVIRONMENT, "environment": ENVIRONMENT}
        service = {"service.namespace": "mqtt-trace", "service.version": VERSION}
        assert without_own(publish["resource"]) == {
            **RESOURCE_OF_A_SENSOR,
            "device.id": sensor,
            **environment,
            **service,
        }
        sensors.add(sensor)
    assert sensors == {"sensor-001", "sensor-002"}


def test_each_service_logs_within_the_trace(release: Release, scout: Scout, readings: list[Published]) -> None:
    """Backend and pod logs have a record of each service with the trace id."""
    trace_id = readings[0].trace_id
    until(lambda: services_of(logs_of(scout, trace_id)) == SERVICES, "a record of each service", 60)
    for component in ("producer", "consumer", "echo"):
        assert trace_id in release.log(component), component


@pytest.mark.parametrize("service", METRICS)
def test_the_metrics_of_each_service_arrive(scout: Scout, service: str) -> None:
    """Each service reports its documented metrics."""

    def names() -> set[str]:
        return {metric["name"] for metric in scout.get("/api/metrics", service=service)["metrics"]}

    until(lambda: names() >= METRICS[service], f"{METRICS[service]} of {service}", 60)


def test_every_resource_names_the_environment(scout: Scout, readings: list[Published]) -> None:
    """SCOUT_ENVIRONMENT is on every resource of spans, metrics and logs, by both of its names."""
    trace_id = readings[0].trace_id
    for records_of in (spans_of, logs_of):
        until(lambda of=records_of: services_of(of(scout, trace_id)) == SERVICES, "something of each service", 60)  # type: ignore[misc] # mypy does not infer a lambda with a default
    for record in [*spans_of(scout, trace_id), *logs_of(scout, trace_id)]:
        assert environment_of(record) == ENVIRONMENT, record

    def metrics() -> list[Json]:
        # Other releases may have sent telemetry here as well.
        reported: list[Json] = scout.get("/api/metrics")["metrics"]
        return [metric for metric in reported if environment_of(metric) == ENVIRONMENT]

    until(lambda: services_of(metrics()) >= SERVICES, "metrics of each service", 60)


def test_helm_test_passes(release: Release) -> None:
    """The chart's own check of one reading succeeds, and `--logs` prints what it found."""
    printed = release.helm("test", release.name, "--logs", "--timeout", "5m")
    assert "Phase:          Succeeded" in printed
    assert "POD LOGS: " in printed


def services_of(records: list[Json]) -> set[str]:
    """Return the services of records."""
    return {record["service"] for record in records}


def environment_of(record: Json) -> str:
    """Return the environment of a record's resource, which has it under two names."""
    resource = record["resource"]
    assert resource["deployment.environment.name"] == resource["environment"], record
    return str(resource["environment"])
