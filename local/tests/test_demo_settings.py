"""The settings of `make demo`, which it checks before it starts anything."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from local.demo import readings_from
from local.stack import inherited

ROOT = Path(__file__).parents[2]


def demo(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the demo's command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "local", "demo", *arguments],
        cwd=ROOT,
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_ten_readings_are_the_default() -> None:
    """READINGS may be left out or given."""
    assert readings_from({}) == 10
    assert readings_from({"READINGS": "3"}) == 3


@pytest.mark.parametrize("value", ["", "0", "-1", "501", "ten", "1.5", "²", " 3"])
def test_a_wrong_number_of_readings_is_one_line_and_exit_code_2(value: str) -> None:
    """The line names the variable, the allowed values and the actual one."""
    with pytest.raises(ValueError, match="READINGS"):
        readings_from({"READINGS": value})


def test_the_command_refuses_a_wrong_setting_before_it_starts_anything() -> None:
    """One line on standard error, nothing else, exit code 2."""
    done = demo(READINGS="many")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "READINGS must be a number from 1 to 500, not 'many'\n"


def test_help_says_what_it_does() -> None:
    """`--help` names the setting and the exit code."""
    done = demo("--help")
    assert done.returncode == 0
    assert "READINGS" in done.stdout
    assert "exits with 1" in done.stdout


@pytest.mark.parametrize("service", ["producer", "consumer", "echo", "scout-sim"])
def test_no_setting_of_a_service_is_inherited(service: str) -> None:
    """No setting that a service's help lists is inherited, in any case."""
    command = Path(sys.executable).with_name(f"mqtt-trace-{service}")
    done = subprocess.run([command, "--help"], capture_output=True, text=True, timeout=30, check=True)
    settings = set(re.findall(r"^ *([A-Z]+(?:_[A-Z]+)+)\b", done.stdout, re.MULTILINE))
    assert len(settings) >= 3
    assert inherited({name: "wrong" for setting in settings for name in (setting, setting.lower())}) == {}


def test_what_no_service_reads_is_inherited() -> None:
    """Other variables, such as PATH and TMPDIR, are inherited."""
    shell = {"PATH": "/opt/bin", "TMPDIR": "/scratch", "LANG": "C.UTF-8"}
    assert inherited({**shell, "OTEL_SDK_DISABLED": "true", "MQTT_TRACE_RELATION": "link"}) == shell
