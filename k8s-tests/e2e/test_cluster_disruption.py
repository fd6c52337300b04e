"""Every published reading is processed and traced, whichever part is unavailable meanwhile."""

import json
import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from e2e.release import Published, Release, none_left, now, spans_of, until
from local.golden import Json
from local.scout import Scout

DEVICES = 50
SERVICES = {"mqtt-trace-producer", "mqtt-trace-consumer", "mqtt-trace-echo"}
FLEET = (f"producer.devices={DEVICES}", "producer.intervalSeconds=2")
ECHO_AWAY_S = 60
DAMAGED_FILES = "mqtt_trace.collector.storage.damaged_files"


@pytest.fixture(scope="module", autouse=True)
def fleet(release: Release) -> Iterator[None]:
    """Fifty sensors publish during these tests, each every two seconds."""
    release.apply(*FLEET)
    release.published_next(DEVICES, now())
    yield
    release.apply()


def complete_traces(scout: Scout, since: datetime) -> dict[str, Json]:
    """Return the summaries of connected traces since then, by trace id."""
    since_then = str(since.timestamp())
    return {
        trace["trace_id"]: trace
        for trace in scout.get("/api/traces", since=since_then, service="mqtt-trace-echo", limit=100_000)["traces"]
        if trace["connected"] and set(trace["services"]) == SERVICES and not trace["missing_context"]
    }


def messages_processed(scout: Scout) -> set[str]:
    """Return the traces in which the consumer logged that it had processed the message."""
    logs = scout.get("/api/logs", service="mqtt-trace-consumer", contains="processed message", limit=100_000)["logs"]
    return {log["trace_id"] for log in logs}


def long_before(moment: datetime) -> datetime:
    """Return a time before any reading that was acknowledged after this moment."""
    return moment - timedelta(minutes=10)


def require_all(release: Release, scout: Scout, since: datetime) -> list[Published]:
    """Let every sensor publish once more, then require every reading since then to be processed and traced."""
    release.published_next(DEVICES, now())
    readings = release.published(since)
    wanted, taken = {reading.trace_id for reading in readings}, long_before(since)
    assert len(wanted) == len(readings) >= DEVICES
    none_left(lambda: wanted - complete_traces(scout, taken).keys(), "complete traces", 120)
    none_left(lambda: wanted - messages_processed(scout), "processed messages", 60)
    return readings


def test_what_the_broker_takes_for_somebody_outlives_its_pod(release: Release, scout: Scout) -> None:
    """Every reading is processed, also those that arrived when Mosquitto had forgotten its subscribers.

    Mosquitto 2.0 keeps sessions over a restart, but no shared subscription: until the consumer is there again, PUBACKs
    say that nobody is, and the producer publishes those readings again.
    """
    start = now()
    release.published_next(DEVICES, start)
    release.delete_pod("mosquitto")
    release.roll_out(f"statefulset/{release.object('mosquitto')}")
    back = now()
    until(lambda: complete_traces(scout, back), "the consumer is subscribed again", 120)
    require_all(release, scout, start)


@pytest.mark.parametrize("component", ["consumer", "otel-collector", "scout-sim"])
def test_no_reading_is_lost_when_a_pod_is_deleted(release: Release, scout: Scout, component: str) -> None:
    """Every reading published during the consumer's absence is processed, and its trace is connected."""
    start = now()
    release.published_next(DEVICES, start)
    release.delete_pod(component)
    release.roll_out(f"statefulset/{release.object(component)}")
    require_all(release, scout, start)


def test_a_damaged_queue_costs_its_own_telemetry_alone(release: Release, scout: Scout) -> None:
    """The Collector starts without the file, its pod says so, a metric counts it, and all readings are traced."""
    collector = release.object("otel-collector")
    release.kubectl("scale", f"statefulset/{collector}", "--replicas=0")
    until(lambda: not release.pods("otel-collector"), "the Collector is away", 120)
    start = now()  # the file may have spans of earlier readings
    release.published_next(DEVICES, start)
    cut_off(release, collector, "exporter_otlp_http_b14_traces")
    release.kubectl("scale", f"statefulset/{collector}", "--replicas=1")
    release.roll_out(f"statefulset/{collector}")
    [pod] = release.pods("otel-collector")
    [check] = pod["status"]["initContainerStatuses"]
    assert "exporter_otlp_http_b14_traces is damaged" in check["state"]["terminated"]["message"]
    until(lambda: scout.counter(DAMAGED_FILES, "otel-collector") == 1, "the metric counts the file", 120)
    require_all(release, scout, start)
    release.kubectl("exec", f"{collector}-0", "--container=log", "--", "rm", "-r", "/var/lib/otelcol/damaged")


def cut_off(release: Release, collector: str, file: str) -> None:
    """Cut a file in the volume of the absent Collector off after its two meta pages, in a pod of its own."""
    pod = release.kubectl.json("get", "statefulset", collector)["spec"]["template"]["spec"]
    [check] = pod["initContainers"]
    name = "cut-off"
    container = {
        **{key: check[key] for key in ("image", "imagePullPolicy", "securityContext")},
        "name": name,
        "command": ["truncate", "--size=8192", f"/var/lib/otelcol/{file}"],
        "volumeMounts": [mount for mount in check["volumeMounts"] if mount["name"] == "data"],
    }
    manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "securityContext": pod["securityContext"],
            "containers": [container],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": f"data-{collector}-0"}}],
        },
    }
    release.kubectl("apply", "--filename", "-", stdin=json.dumps(manifest))
    release.kubectl("wait", f"pod/{name}", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=300s", timeout_s=320)
    release.kubectl("delete", "pod", name)


def test_no_reading_is_lost_over_an_upgrade(release: Release, scout: Scout) -> None:
    """An upgrade that replaces the pods of consumer and echo loses no reading."""
    start = now()
    release.published_next(DEVICES, start)
    release.apply(*FLEET, "consumer.env.LOG_LEVEL=DEBUG", "echo.env.LOG_LEVEL=DEBUG")
    require_all(release, scout, start)
    release.apply(*FLEET)


def test_no_reading_is_lost_while_echo_is_away(release: Release, scout: Scout) -> None:
    """The consumer waits for echo without a restart, and then processes the waiting readings."""
    start = now()
    echo = f"deployment/{release.object('echo')}"
    release.scale(echo, 0)
    time.sleep(ECHO_AWAY_S)  # not a wait for a result: echo stays away for this time
    release.scale(echo, 1)
    require_all(release, scout, start)
    (consumer,) = release.pods("consumer")
    assert consumer["status"]["containerStatuses"][0]["restartCount"] == 0


def test_replicas_share_the_readings(release: Release, scout: Scout) -> None:
    """From one replica to three and back, exactly one replica processes each reading, unless it was redelivered."""
    start = now()
    consumer = f"statefulset/{release.object('consumer')}"
    release.scale(consumer, 3)
    release.published_next(3 * DEVICES, now())
    for number in range(3):
        replica = f"messaging.client.id={release.object('consumer')}-{number}"
        until(lambda replica=replica: traces_with(scout, replica, start), f"a reading with {replica}", 60)  # type: ignore[misc] # mypy does not infer a lambda with a default
    release.scale(consumer, 1)
    readings = require_all(release, scout, start)
    traces = complete_traces(scout, long_before(start))
    for reading in readings:
        if traces[reading.trace_id]["span_count"] > 4:
            require_redelivery(spans_of(scout, reading.trace_id))


def traces_with(scout: Scout, attribute: str, since: datetime) -> list[str]:
    """Return traces in which some span has an attribute, written as `key=value`."""
    return scout.trace_ids(attribute=attribute, since=str(since.timestamp()), limit=1)


def require_redelivery(spans: list[Json]) -> None:
    """Require that a message processed by two replicas has the broker's DUP flag."""
    processed = sorted((span for span in spans if span["kind"] == "CONSUMER"), key=lambda span: span["start_ns"])
    if len({span["attributes"]["messaging.client.id"] for span in processed}) > 1:
        assert all(span["attributes"]["mqtt.duplicate"] for span in processed[1:]), processed
