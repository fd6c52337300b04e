"""Ctrl-C and SIGTERM during the imports of a command: no traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from service.tests.commands import environment, find_command

ROOT = Path(__file__).parents[2]

_SERVICES = {
    "producer": "mqtt_trace_producer",
    "check": "mqtt_trace_producer",
    "consumer": "mqtt_trace_consumer",
    "echo": "mqtt_trace_echo",
    "operator": "mqtt_trace_operator",
    "scout-sim": "scout_sim",
}
_TOOLS = ("local demo", "local up", "bench", "bench.library", "bench.operator", "charts.generate")


def _interrupted(
    command: list[str], folder: Path, *, after: str, at: int, number: signal.Signals
) -> tuple[int, str, str]:
    """Exit code and output of a command that is interrupted at an import."""
    interrupting = {
        "INTERRUPT_AFTER": after,
        "INTERRUPT_AT": str(at),
        "INTERRUPT_WITH": str(int(number)),
        "PYTHONPATH": str(Path(__file__).with_name("interrupting")),
    }
    done = subprocess.run(
        command,
        env={**environment(folder), **interrupting},
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("command", _SERVICES)
def test_a_service_is_interrupted_quietly_at_any_import(command: str, tmp_path: Path) -> None:
    """A signal at any import ends a service with exit code 130 for Ctrl-C and 143 for SIGTERM, without output."""
    moments = [(at, signal.SIGINT) for at in (1, 2, 5, 20, 100, 300)] + [(30, signal.SIGTERM)]

    def end(moment: tuple[int, signal.Signals]) -> tuple[int, str, str]:
        at, number = moment
        after = f"{_SERVICES[command]}.__main__"
        return _interrupted([find_command(command)], tmp_path, after=after, at=at, number=number)

    with ThreadPoolExecutor(2) as pool:
        ends = list(pool.map(end, moments))
    assert ends == [(128 + number, "", "") for _, number in moments]


@pytest.mark.parametrize("command", _TOOLS)
def test_a_tool_is_interrupted_quietly_at_any_import(command: str, tmp_path: Path) -> None:
    """Ctrl-C at any import ends a tool with exit code 130."""
    moments = (1, 2, 8)

    def end(at: int) -> tuple[int, str, str]:
        started = [sys.executable, "-m", *command.split()]
        return _interrupted(started, tmp_path, after="local.interrupts", at=at, number=signal.SIGINT)

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(end, moments)) == [(130, "", "")] * len(moments)


@pytest.mark.parametrize(
    ("command", "waits_for"), [("charts.generate", "helm"), ("bench", "mosquitto"), ("bench.library", "mosquitto")]
)
def test_a_tool_is_interrupted_quietly_while_it_works(command: str, waits_for: str, tmp_path: Path) -> None:
    """Ctrl-C ends a working tool with exit code 130 and its child processes with it."""
    program = tmp_path / waits_for
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    with subprocess.Popen(
        [sys.executable, "-m", *command.split()], cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as tool:
        try:
            started = _child(tool, "sleep")
            tool.send_signal(signal.SIGINT)
            _, errors = tool.communicate(timeout=60)
        finally:
            tool.kill()
    assert (tool.returncode, errors) == (130, b"")
    assert not started.is_running() or started.status() == psutil.STATUS_ZOMBIE


def _child(parent: subprocess.Popen[bytes], name: str) -> psutil.Process:
    """Wait for a child with this name."""
    while parent.poll() is None:
        for child in psutil.Process(parent.pid).children():
            if child.name() == name:
                return child
        try:
            parent.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
    raise AssertionError(f"it has ended with {parent.returncode}")
