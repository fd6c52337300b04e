"""The commands of the troubleshooting page answer on a running stack."""

import json
import os
import subprocess
import sysconfig

import pytest

from local.documents import blocks
from local.needed import needs
from local.stack import Stack

PAGE = "troubleshooting.md"


def test_the_check_follows_a_reading_through_every_hop(stack: Stack) -> None:
    """The first command names each step and succeeds."""
    check, *_ = blocks(PAGE, "sh", "on this machine")
    assert "mqtt-trace-check" in check.code
    done = run(check.code, stack)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PUBACK" in done.stdout


@needs("curl")
def test_queries_are_understood(stack: Stack) -> None:
    """scout-sim answers each query of the page with JSON."""
    queries = [
        line for block in blocks(PAGE, "sh", "on this machine") for line in block.code.splitlines() if "curl" in line
    ]
    assert len(queries) >= 5
    for query in queries:
        done = run(query.replace("curl -s", "curl -s --fail-with-body"), stack)
        assert done.returncode == 0, f"{query}: {done.stdout}"
        assert "traces" in json.loads(done.stdout)


def test_any_client_sees_the_context(stack: Stack) -> None:
    """`mosquitto_sub`, as printed, shows the user properties of a reading of the running producer."""
    [look] = [block for block in blocks(PAGE, "sh", "on this machine") if "mosquitto_sub" in block.code]
    done = run(look.code, stack)
    assert done.returncode == 0, done.stderr
    assert "traceparent:00-" in done.stdout


@pytest.mark.parametrize("code", [block.code for block in blocks(PAGE, "sh", "in the cluster")])
def test_commands_for_the_cluster_are_shell(code: str) -> None:
    """Commands that need a cluster are valid shell commands."""
    subprocess.run(["bash", "-n"], input=code, text=True, check=True)


def run(code: str, stack: Stack) -> subprocess.CompletedProcess[str]:
    """Run a block with the ports of the stack."""
    code = code.replace("http://localhost:4320", stack.scout_url).replace("http://localhost:4318", stack.otlp_url)
    code = code.replace("-p 1883", f"-p {stack.mosquitto.port}")
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
    env = {**os.environ, "PATH": path, "MQTT_BROKER_PORT": str(stack.mosquitto.port), "HEALTH_PORT": "0"}
    return subprocess.run(["bash", "-c", code], env=env, capture_output=True, text=True, timeout=90, check=False)
