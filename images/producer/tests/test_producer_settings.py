"""Settings, from the environment to the line about a wrong value."""

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

GUIDE = {
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
    """Run the command to its end."""
    return subprocess.run(
        [*prefix, command("mqtt-trace-producer")],
        env=environment(settings),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_defaults_are_those_of_the_guide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without variables, the producer is the device of the guide."""
    for name in ProducerSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    assert ProducerSettings().model_dump(include=set(GUIDE)) == GUIDE


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
    """The exit code is 2, and the line names the variable and the problem."""
    monkeypatch.setattr(sys, "argv", ["mqtt-trace-producer"])
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert printed.startswith(f"mqtt-trace-producer: {variable}: ")
    assert problem in printed


def test_many_devices_need_an_id_that_ends_in_a_number() -> None:
    """A problem of two settings is one line about both."""
    done = run(DEVICE_ID="boiler", DEVICE_COUNT=2)
    assert done.returncode == 2
    assert done.stderr == (
        "mqtt-trace-producer: DEVICE_ID: must end in a number when DEVICE_COUNT is more than 1 (got 'boiler')\n"
    )


def test_too_many_devices_for_the_descriptor_limit_are_refused() -> None:
    """A fleet that exceeds the limit is refused at the start, with the number of devices that fit."""
    limited = ["bash", "-c", 'ulimit -n 300; exec "$0"']
    done = run(*limited, DEVICE_COUNT=1000)
    assert done.returncode == 2
    assert done.stderr == (
        "mqtt-trace-producer: DEVICE_COUNT: 236 devices fit into the limit of 300 file descriptors (got 1000)\n"
    )


def test_a_fleet_file_with_too_many_devices_for_the_descriptor_limit_is_refused(tmp_path: Path) -> None:
    """A fleet file that exceeds the limit is refused at the start, with the number of devices that fit."""
    mount = MountedFleetFile(tmp_path, replicas=900, sensorsPerPod=1000)
    limited = ["bash", "-c", 'ulimit -n 300; exec "$0"']
    done = run(*limited, FLEET_FILE=mount.path, FLEET_POD_INDEX=0)
    assert done.returncode == 2
    assert done.stderr == (
        f"mqtt-trace-producer: FLEET_FILE: {mount.path}: "
        "236 devices fit into the limit of 300 file descriptors (got 900)\n"
    )


def test_a_health_port_in_use_is_named(broker: Mosquitto) -> None:
    """The line names the address that is in use."""
    done = run(HEALTH_HOST=HOST, HEALTH_PORT=broker.port, MQTT_BROKER_HOST=HOST, MQTT_BROKER_PORT=broker.port)
    assert done.returncode == 2
    assert done.stderr.startswith(f"mqtt-trace-producer: HEALTH_PORT: cannot listen on {HOST}:{broker.port}")
    assert done.stderr.count("\n") == 1
