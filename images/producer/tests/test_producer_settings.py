"""Settings, from the environment to the one line about what is wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from mqtt_trace_producer.command import main
from mqtt_trace_producer.settings import ProducerSettings

from images.producer.tests.mounted_fleet_file import MountedFleetFile
from images.producer.tests.producer_harness import command, environment
from local.mosquitto import Mosquitto
from local.ports import HOST

DOCUMENTED = {
    "device_id": "sensor-001",
    "device_count": 1,
    "device_firmware_version": "1.4.2",
    "device_firmware_channel": "stable",
    "device_battery_level": 100,
    "fleet_id": "fleet-demo",
    "fleet_priority": "normal",
    "fleet_tenant": "acme",
    "site_id": "site-hq",
    "publish_interval_s": 2,
    "mqtt_broker_host": "mosquitto",
    "mqtt_broker_port": 1883,
}


def run(*prefix: str, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run the command until it ends by itself."""
    return subprocess.run(
        [*prefix, command("mqtt-trace-producer")],
        env=environment(settings),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_defaults_are_the_documented_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any variable the producer is the device that the guide shows."""
    for name in ProducerSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    assert ProducerSettings().model_dump(include=set(DOCUMENTED)) == DOCUMENTED


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("DEVICE_ID", "a/b", "string should match pattern"),
        ("DEVICE_ID", "sensor+", "string should match pattern"),
        ("DEVICE_ID", "x" * 256, "at most 255 characters"),
        ("DEVICE_COUNT", "0", "greater than or equal to 1 (got '0')"),
        ("DEVICE_COUNT", "many", "valid integer"),
        ("DEVICE_COUNT", "20001", "less than or equal to 20000"),
        ("DEVICE_BATTERY_LEVEL", "101", "less than or equal to 100"),
        ("DEVICE_BUFFER_READINGS", "0", "greater than or equal to 1"),
        ("FLEET_PRIORITY", "urgent", "'critical', 'high', 'normal' or 'low' (got 'urgent')"),
        ("PUBLISH_INTERVAL_S", "0", "greater than or equal to 0.01"),
        ("PUBLISH_INTERVAL_S", "nan", "finite number"),
        ("PUBLISH_QOS", "3", "less than or equal to 2"),
        ("DRAIN_TIMEOUT_S", "-1", "greater than or equal to 0"),
        ("MQTT_BROKER_PORT", "0", "greater than or equal to 1"),
        ("MQTT_TRACE_RELATION", "sibling", "must be parent, link or both (got 'sibling')"),
        ("MQTT_TLS_CA_FILE", __file__, "is set, but MQTT_TLS is not true"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str, value: str, problem: str
) -> None:
    """The command ends with 2 and says which variable is wrong, and how."""
    monkeypatch.setattr(sys, "argv", ["mqtt-trace-producer"])
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith(f"mqtt-trace-producer: {variable}: ")
    assert problem in said


def test_many_devices_need_an_id_that_ends_in_a_number() -> None:
    """The check over two settings is one sentence about both."""
    done = run(DEVICE_ID="boiler", DEVICE_COUNT=2)
    assert done.returncode == 2
    assert done.stderr == (
        "mqtt-trace-producer: DEVICE_ID: must end in a number when DEVICE_COUNT is more than 1 (got 'boiler')\n"
    )


def test_one_line_says_how_many_devices_fit_into_the_descriptor_limit() -> None:
    """A fleet that the system cannot hold is refused before it has half started."""
    limited = ["bash", "-c", 'ulimit -n 300; exec "$0"']
    done = run(*limited, DEVICE_COUNT=1000)
    assert done.returncode == 2
    assert done.stderr == (
        "mqtt-trace-producer: DEVICE_COUNT: 236 devices fit into the limit of 300 file descriptors (got 1000)\n"
    )


def test_one_line_says_so_of_a_fleet_file_too(tmp_path: Path) -> None:
    """What the file asks of a pod is too much for it from the start."""
    mount = MountedFleetFile(tmp_path, replicas=900, sensorsPerPod=1000)
    limited = ["bash", "-c", 'ulimit -n 300; exec "$0"']
    done = run(*limited, FLEET_FILE=mount.path, FLEET_POD_INDEX=0)
    assert done.returncode == 2
    assert done.stderr == (
        f"mqtt-trace-producer: FLEET_FILE: {mount.path}: "
        "236 devices fit into the limit of 300 file descriptors (got 900)\n"
    )


def test_a_health_port_that_is_taken_is_named(broker: Mosquitto) -> None:
    """A second producer on one machine says what is in its way."""
    done = run(HEALTH_HOST=HOST, HEALTH_PORT=broker.port, MQTT_BROKER_HOST=HOST, MQTT_BROKER_PORT=broker.port)
    assert done.returncode == 2
    assert done.stderr.startswith(f"mqtt-trace-producer: HEALTH_PORT: cannot listen on {HOST}:{broker.port}")
    assert done.stderr.count("\n") == 1
