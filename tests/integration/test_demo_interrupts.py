"""Whenever `make demo` is interrupted or fails to start, no traceback, process or folder remains."""

import os
import pty
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from local import demo as demo_module
from local import mosquitto
from local.waiting import until

StartDemo = Callable[..., subprocess.Popen[str]]
LeftBehind = Callable[[], list[str]]


def wait_for_line(demo: subprocess.Popen[str], beginning: str) -> None:
    """Return when it has printed a line that begins like this."""
    assert demo.stdout is not None
    assert any(line.startswith(beginning) for line in demo.stdout)


def parts_of(demo: subprocess.Popen[str]) -> int:
    """Return the number of its running processes."""
    running = 0
    for child in psutil.Process(demo.pid).children():
        with suppress(psutil.NoSuchProcess):  # it may end while it is counted
            running += child.status() != psutil.STATUS_ZOMBIE
    return running


def test_ctrl_c_during_imports_is_quiet(
    start_demo: StartDemo, left_behind: LeftBehind, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Ctrl-C during imports ends it with exit code 130."""
    modules = tmp_path_factory.mktemp("modules")
    (modules / "rich.py").write_text("import signal\nprint('importing', flush=True)\nsignal.pause()\n")
    demo = start_demo(env={"PYTHONPATH": str(modules)})
    wait_for_line(demo, "importing")
    demo.send_signal(signal.SIGINT)
    _, errors = demo.communicate(timeout=30)
    assert (demo.returncode, errors, left_behind()) == (130, "", [])


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("part", ["mosquitto", "producer"])
def test_an_interrupted_start_leaves_nothing(
    part: str, end: signal.Signals, start_demo: StartDemo, left_behind: LeftBehind
) -> None:
    """Exit code 130 while parts start, for Ctrl-C, SIGTERM and the end of the terminal alike."""
    demo = start_demo(env={})
    wait_for_line(demo, f"starting {part}")
    demo.send_signal(end)
    _, errors = demo.communicate(timeout=60)
    assert (demo.returncode, errors, left_behind()) == (130, "", [])


def test_a_second_ctrl_c_does_not_keep_it_from_cleaning_up(start_demo: StartDemo, left_behind: LeftBehind) -> None:
    """Further Ctrl-C while parts stop changes nothing."""
    demo = start_demo(env={})
    wait_for_line(demo, "starting producer")
    parts = parts_of(demo)

    def has_stopped_its_parts() -> bool:
        if demo.poll() is not None or not parts_of(demo):
            return True
        demo.send_signal(signal.SIGINT)
        return False

    demo.send_signal(signal.SIGINT)
    until(lambda: parts_of(demo) < parts, "a part has stopped", every_s=0.005)
    until(has_stopped_its_parts, "every part has stopped", every_s=0.05)
    printed, errors = demo.communicate(timeout=60)
    assert (demo.returncode, errors, left_behind()) == (130, "", []), printed


def test_a_closed_terminal_ends_it(start_demo: StartDemo, left_behind: LeftBehind) -> None:
    """When it can no longer print, it stops as on Ctrl-C."""
    terminal, inside = pty.openpty()
    demo = start_demo(env={"TERM": "xterm"}, stdin=inside, stdout=inside, stderr=inside)
    os.close(inside)
    printed, deadline = b"", time.monotonic() + 100
    while b"connected" not in printed.partition(b"Ctrl-C stops")[2]:
        printed += os.read(terminal, 65536)
        assert time.monotonic() < deadline, printed
    os.close(terminal)
    demo.send_signal(signal.SIGHUP)
    assert demo.wait(60) == 0
    assert left_behind() == []


def test_a_hang_up_that_is_ignored_changes_nothing(start_demo: StartDemo) -> None:
    """Under nohup it continues when the terminal is closed."""
    demo = start_demo(env={"READINGS": "1"}, hang_up=signal.SIG_IGN)
    wait_for_line(demo, "starting mosquitto")
    demo.send_signal(signal.SIGHUP)
    printed, errors = demo.communicate(timeout=100)
    assert (demo.returncode, errors) == (0, "")
    assert printed.endswith("stopped\n")


def test_without_mosquitto_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line and exit code 1, and no folder for logs that do not exist."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(mosquitto, "_MORE_PATH", [])
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert demo_module.main([]) == 1
    assert capsys.readouterr().err == "demo: mosquitto is not installed: run make setup\n"
    assert list(tmp_path.iterdir()) == []
