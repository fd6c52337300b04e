"""Valid settings, and the line that refuses an invalid one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mqtt_trace_consumer.settings import Settings, overlap
from mqtt_trace_service import load
from paho.mqtt.client import topic_matches_sub
from pydantic import ValidationError

from local.ports import HOST, free_port

LEVELS = st.lists(st.sampled_from(["a", "b", "+"]), min_size=1, max_size=4)
COMMAND = str(Path(sys.executable).with_name("mqtt-trace-consumer"))


def start(**env: str) -> subprocess.CompletedProcess[str]:
    """Run the consumer until it ends."""
    return subprocess.run(
        [COMMAND],
        env={**os.environ, "OTEL_SDK_DISABLED": "true", "HEALTH_HOST": HOST, "HEALTH_PORT": str(free_port()), **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("MQTT_TOPIC_FILTER", "sensors/#/reading", "# the whole last level"),
        ("MQTT_TOPIC_FILTER", "sensors+/reading", "+ must be a whole level"),
        ("MQTT_TOPIC_FILTER", "$share/g/sensors/+/reading", "MQTT_SHARE_GROUP names the group"),
        ("MQTT_TOPIC_FILTER", "$SYS/#", "must not begin with $"),
        ("MQTT_SHARE_GROUP", "a/b", "must be one topic level"),
        ("MQTT_CLIENT_ID", "a+", "must be one topic level"),
        ("MQTT_CLIENT_ID", "a" * 1_025, "must be one topic level: 1 to 1024 bytes"),
        ("MQTT_CLIENT_ID", "\udcff", "surrogates not allowed"),
        ("MQTT_SESSION_EXPIRY_S", "0", "greater than or equal to 1"),
        ("RECEIVE_MAXIMUM", "65536", "less than or equal to 65535"),
        ("ECHO_URL", "echo:8000", "URL"),
        ("ECHO_TIMEOUT_S", "nan", "finite number"),
        ("ECHO_CONCURRENCY", "0", "greater than or equal to 1"),
        ("ECHO_MAX_TRIES", "three", "valid integer"),
        ("DEAD_LETTER_TOPIC_PREFIX", "dead/#", "must be a topic"),
        ("DRAIN_TIMEOUT_S", "-1", "greater than or equal to 0"),
    ],
)
def test_a_wrong_setting_is_refused(
    variable: str, value: str, problem: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An invalid setting gives exit code 2 and one line with the variable and the problem."""
    monkeypatch.setattr("sys.argv", ["mqtt-trace-consumer"])
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as stopped:
        load(Settings, "mqtt-trace-consumer")
    assert stopped.value.code == 2
    line, *more = capsys.readouterr().err.splitlines()
    assert more == []
    assert line.startswith(f"mqtt-trace-consumer: {variable}: ")
    assert problem in line


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("DEAD_LETTER_TOPIC_PREFIX", "sensors/#", "must be a topic"),
        ("MQTT_TRACE_RELATION", "child", "must be parent, link or both"),
        ("HEALTH_HOST", "192.0.2.1", "cannot listen"),
        ("SSL_CERT_FILE", "/no/such/file", "cannot be used: "),
    ],
)
def test_a_wrong_setting_stops_the_process(variable: str, value: str, problem: str) -> None:
    """The command ends with that line too, wherever the setting is checked."""
    done = start(**{variable: value, "ECHO_URL": "https://echo.invalid/"})
    assert done.returncode == 2
    line, *more = done.stderr.splitlines()
    assert more == []
    assert line.startswith(f"mqtt-trace-consumer: {variable}: ")
    assert problem in line


def test_a_wrong_option_is_the_only_output() -> None:
    """An invalid option of the library is the only output, without a warning of telemetry."""
    done = start(
        MQTT_TRACE_TRUSTED_TOPICS="sensors/#/x", OTEL_SDK_DISABLED="false", OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED="?"
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("mqtt-trace-consumer: MQTT_TRACE_TRUSTED_TOPICS: + must be a whole level")


def test_dead_letters_that_would_come_back_are_refused() -> None:
    """A filter that matches its own dead letters is refused, because they would be consumed endlessly."""
    with pytest.raises(ValidationError, match="DEAD_LETTER_TOPIC_PREFIX: dead letters would match"):
        Settings(mqtt_topic_filter="#")


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("dead-letter/sensors/+/reading", "sensors/+/reading", False),
        ("dead-letter/#", "#", True),
        ("dead/+/+", "+/+/+", True),
        ("sensors/+/reading/x", "sensors/+/reading", False),
        ("a/a/#", "a/#", True),
        ("a", "a/#", True),
        ("a/#", "b/#", False),
    ],
)
def test_filters_overlap(one: str, other: str, expected: bool) -> None:
    """Two filters overlap when some topic matches both."""
    assert overlap(one.split("/"), other.split("/")) is expected
    assert overlap(other.split("/"), one.split("/")) is expected


@given(LEVELS, LEVELS, st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=4))
def test_a_topic_that_matches_both_makes_an_overlap(one: list[str], other: list[str], topic: list[str]) -> None:
    """Overlap agrees with paho's own matching."""
    text = "/".join(topic)
    if topic_matches_sub("/".join(one), text) and topic_matches_sub("/".join(other), text):
        assert overlap(one, other)


@pytest.mark.parametrize(
    ("client_id", "group", "leaves"),
    [
        ("demo-consumer-0", "g", False),
        ("demo-consumer-1", "g", True),
        ("demo-consumer-12", "g", True),
        ("demo-consumer-1", None, False),
        ("demo-consumer", "g", False),
        ("demo-7f9c-x2x", "g", False),
    ],
)
def test_who_leaves_for_good(client_id: str, group: str | None, leaves: bool) -> None:
    """Only replicas of ordinal 1 or more in a shared subscription end their session."""
    assert Settings(mqtt_client_id=client_id, mqtt_share_group=group).leaves_for_good is leaves


def test_the_default_client_id_names_us_and_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default client id contains the host name."""
    monkeypatch.setattr("socket.gethostname", lambda: "pod-3")
    assert Settings().mqtt_client_id == "mqtt-trace-consumer-pod-3"
