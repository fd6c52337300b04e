"""The demo as a command, with its own temporary folder that shows leftovers."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def start_demo(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `make demo`'s command with these environment variables and arguments of Popen; it ends with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(
        *, env: dict[str, str], hang_up: signal.Handlers = signal.SIG_DFL, **options: Any
    ) -> subprocess.Popen[str]:
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        before = signal.signal(signal.SIGHUP, hang_up)  # is inherited; the tests may run under nohup
        try:
            demo = subprocess.Popen(
                [sys.executable, "-m", "local", "demo"],
                cwd=ROOT,
                env={**os.environ, "TMPDIR": str(tmp_path), **env},
                text=True,
                **{**streams, **options},
            )
        finally:
            signal.signal(signal.SIGHUP, before)
        started.append(demo)
        return demo

    yield start
    for demo in started:
        demo.kill()  # its parts end with it
        demo.communicate()


@pytest.fixture
def left_behind(tmp_path: Path) -> Callable[[], list[str]]:
    """Return the processes that still run with this temporary folder, and what is in it."""

    def find() -> list[str]:
        found = [str(path) for path in tmp_path.iterdir()]
        for process in psutil.process_iter():
            try:
                if process.environ().get("TMPDIR") == str(tmp_path) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(" ".join(process.cmdline()))
            except psutil.Error:
                continue
        return found

    return find
