"""Variables that OpenTelemetry reads while it is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_COMMANDS = ("producer", "consumer", "echo", "check", "operator")


def _run(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env={**os.environ, **variables}, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("command", _COMMANDS)
@pytest.mark.parametrize(
    ("variable", "value"), [("OTEL_PROPAGATORS", "ottrace"), ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "many")]
)
def test_a_wrong_one_is_one_line_of_every_command(command: str, variable: str, value: str) -> None:
    """An invalid variable gives every command exit code 2 and one line with command, variable and value."""
    program = f"mqtt-trace-{command}"
    done = _run(str(Path(sys.executable).with_name(program)), **{variable: value})
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"{program}: {variable}: must ")
    assert value in done.stderr


@pytest.mark.parametrize("create", ["TracedPublisher(Client(CallbackAPIVersion.VERSION2))", "TracedConsumer()"])
def test_a_wrong_propagator_is_found_before_the_first_message(create: str) -> None:
    """An unknown propagator is an error at set-up, not at the first publish."""
    program = f"""
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from mqtt_trace import ConfigurationError, TracedConsumer, TracedPublisher
try:
    {create}
except ConfigurationError as error:
    print(error.variable)
"""
    done = _run(sys.executable, "-c", program, OTEL_PROPAGATORS="ottrace")
    assert (done.stdout, done.stderr) == ("OTEL_PROPAGATORS\n", "")
