"""The expected trace of a reading in the cluster."""

from collections.abc import Iterable, Sequence

from e2e.release import Published, Release, spans_of, until
from local.connected import missing_step
from local.golden import ANY, Json, as_expected, expected_spans
from local.scout import Scout, span_from_json


def expected_of(release: Release) -> list[Json]:
    """Return the exact four spans of a reading of sensor-001, as golden has them, with the cluster's names."""
    broker = {"server.address": release.object("mosquitto"), "server.port": 1883}
    shared = {
        "messaging.client.id": f"{release.object('consumer')}-0",
        "messaging.consumer.group.name": f"{release.name}-mqtt-trace",
    }
    echo = release.object("echo")
    call = {
        "network.peer.address": ANY,
        "server.address": echo,
        "server.port": 8000,
        "url.full": f"http://{echo}:8000/echo",
    }
    pods = {"client.address": ANY, "server.address": ANY}
    return expected_spans(PRODUCER=broker, CONSUMER={**broker, **shared}, CLIENT=call, SERVER=pods)


def expect_sensor(number: int, expected: Sequence[Json]) -> list[Json]:
    """Return the same spans for another sensor."""

    def renamed(value: object) -> object:
        if isinstance(value, str):
            return value.replace("sensor-001", f"sensor-{number:03}")
        if isinstance(value, list):
            return [renamed(item) for item in value]
        return {key: renamed(item) for key, item in value.items()} if isinstance(value, dict) else value

    return [{key: renamed(value) for key, value in span.items()} for span in expected]


def wait_complete(scout: Scout, readings: Iterable[Published], seconds: float = 60) -> None:
    """Wait until every span of the readings has arrived.

    Raises:
        AssertionError: the time is over; the message names the trace.
    """
    for reading in readings:
        until(lambda reading=reading: _is_complete(scout, reading), f"trace {reading.trace_id} is connected", seconds)  # type: ignore[misc] # mypy does not infer a lambda with a default


def require_exact(scout: Scout, readings: Sequence[Published], expected: Sequence[Json], seconds: float = 60) -> None:
    """Wait until the traces have arrived.

    Raises:
        AssertionError: a trace is not exactly the four spans of its message, or has not come in time.
    """
    wait_complete(scout, readings, seconds)
    for reading in readings:
        spans = spans_of(scout, reading.trace_id)
        number = 2 if any("sensor-002" in span["name"] for span in spans) else 1
        table = expect_sensor(number, expected)
        assert as_expected(spans, table) == table
        message_ids = {
            span["attributes"]["messaging.message.id"] for span in spans if span["kind"] in ("PRODUCER", "CONSUMER")
        }
        assert message_ids == {reading.message_id}


def _is_complete(scout: Scout, reading: Published) -> bool:
    """Return whether every span of a reading has arrived."""
    return missing_step([span_from_json(span) for span in spans_of(scout, reading.trace_id)]) is None
