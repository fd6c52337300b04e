"""A service as a process: signals, exit codes, and what stderr says."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from local.waiting import DEADLINE_S

_PROGRAM = """
import asyncio, sys, time
from mqtt_trace import ConfigurationError
from mqtt_trace_service import run

async def main(stop):
{body}

run(main, "program")
"""


@contextmanager
def _running(body: str) -> Iterator[subprocess.Popen[str]]:
    """A program with this body of `main`, after its first line of output."""
    indented = "\n".join(f"    {line}" for line in body.splitlines())
    with subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", "-c", _PROGRAM.replace("{body}", indented)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout
            process.stdout.readline()
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_gracefully(number: signal.Signals) -> None:
    """On a signal, the service finishes its work and exits with 0."""
    with _running("print('up', flush=True)\nawait stop.wait()\nprint('flushed')") as process:
        process.send_signal(number)
        assert process.communicate(timeout=DEADLINE_S) == ("flushed\n", "")
        assert process.returncode == 0


def test_garbage_is_collected_rarely() -> None:
    """The collector skips modules, and still collects cycles of many objects."""
    body = """
class Node: pass
import gc, weakref
def cycles():
    for _ in range(50_000):
        node = Node(); node.self = node
        yield weakref.ref(node)
references = list(cycles())
print(gc.get_freeze_count() > 10_000, sum(ref() is not None for ref in references) < 20_000, flush=True)
"""
    with _running("print('up', flush=True)" + body) as process:
        assert process.communicate(timeout=DEADLINE_S)[0] == "True True\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_at_once(number: signal.Signals) -> None:
    """A second signal ends the process even while the loop is blocked, and the exit code names the signal."""
    with _running(
        # Not one long sleep: a signal just before it would be seen only after it.
        "print('up', flush=True)\nawait stop.wait()\nprint('stopping', flush=True)\nwhile True: time.sleep(0.1)"
    ) as process:
        process.send_signal(number)
        assert process.stdout
        assert process.stdout.readline() == "stopping\n"
        process.send_signal(number)
        assert process.wait(DEADLINE_S) == 128 + number


def test_a_main_that_returns_exits_0() -> None:
    """The exit code is 0 when `main` returns without a signal."""
    with _running("print('done', flush=True)") as process:
        assert process.wait(DEADLINE_S) == 0


@pytest.mark.parametrize(
    "body",
    [
        "raise ConfigurationError(variable='QOS', problem='must be 0, 1 or 2')",
        "async with asyncio.TaskGroup():\n    raise ConfigurationError(variable='QOS', problem='must be 0, 1 or 2')",
    ],
)
def test_a_wrong_option_of_the_library_is_one_line(body: str) -> None:
    """An invalid option of the library gives one line and no traceback, wherever `main` raises it."""
    with _running(f"print('up', flush=True)\n{body}") as process:
        assert process.communicate(timeout=DEADLINE_S) == ("", "program: QOS: must be 0, 1 or 2\n")
        assert process.returncode == 2


def test_any_other_error_keeps_its_traceback() -> None:
    """Any other error prints its traceback."""
    with _running("print('up', flush=True)\nraise RuntimeError('a fault')") as process:
        _, stderr = process.communicate(timeout=DEADLINE_S)
        assert "RuntimeError: a fault" in stderr
        assert process.returncode == 1
