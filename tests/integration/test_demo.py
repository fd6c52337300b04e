"""`make demo` from start to end."""

import io
import os
import pty
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from local.demo import Demo, NotConnectedError, send_without_context
from local.processes import ProcessError
from local.stack import Stack
from local.waiting import until

TREE = re.compile(
    r"""trace [0-9a-f]{32}
└── publish sensors/sensor-001/reading      mqtt-trace-producer  PRODUCER  +[\d.]+ ms
    └── process sensors/sensor-001/reading  mqtt-trace-consumer  CONSUMER  +[\d.]+ ms
        └── POST                            mqtt-trace-consumer  CLIENT    +[\d.]+ ms
            └── POST /echo                  mqtt-trace-echo      SERVER    +[\d.]+ ms
"""
)


def run_stack(stack: Stack, patience_s: float = 60) -> str:
    """Run the demo with the test's own stack, and return its output."""
    output = io.StringIO()
    Demo(stack, Console(file=output, width=140), readings=1, patience_s=patience_s).run()
    return output.getvalue()


def test_without_a_terminal_it_shows_a_connected_trace_and_ends(
    start_demo: Callable[..., subprocess.Popen[str]], left_behind: Callable[[], list[str]]
) -> None:
    """Exit code 0 after READINGS readings, a four-span tree, both orphans found, and nothing left over."""
    demo = start_demo(env={"READINGS": "3"})
    printed, errors = demo.communicate(timeout=110)
    assert (demo.returncode, errors) == (0, "")
    assert TREE.search(printed)
    assert re.search(r"│ process sensors/legacy-001/reading │ absent    │", printed)
    assert re.search(r"│ process sensors/legacy-001/reading │ malformed │", printed)
    published, processed, connected, missing, dead = map(int, re.findall(r"│ +(\d+)(?= )", printed.splitlines()[-4]))
    assert published == connected >= 3
    assert (processed, missing, dead) == (published + 2, 2, 0)
    assert "\x1b" not in printed
    assert left_behind() == []


def test_without_a_collector_the_services_export_to_scout_sim(tmp_path: Path) -> None:
    """Without a Collector the trace is connected, too, without tokens."""
    stack = Stack(folder=tmp_path, collector=False)
    assert TREE.search(run_stack(stack))
    assert set(stack.parts) == {"mosquitto", "scout-sim", "echo", "consumer", "producer"}


def test_in_a_terminal_it_stays_until_ctrl_c(
    start_demo: Callable[..., subprocess.Popen[str]], left_behind: Callable[[], list[str]]
) -> None:
    """It continues beyond READINGS, fits into 80 columns, and Ctrl-C stops it cleanly with exit code 0."""
    terminal, inside = pty.openpty()
    env = {"READINGS": "1", "TERM": "xterm", "COLUMNS": "80"}
    demo = start_demo(env=env, stdin=inside, stdout=inside, stderr=inside)
    os.close(inside)
    printed, deadline, interrupted = "", time.monotonic() + 100, False
    with demo, open(terminal, "rb", buffering=0) as screen:  # noqa: PTH123 - a descriptor, not a path
        try:
            while part := screen.read(65536):
                printed += part.decode(errors="replace")
                assert time.monotonic() < deadline, printed
                if not interrupted and re.search(r"│ +[3-9] │", printed):
                    demo.send_signal(signal.SIGINT)
                    interrupted = True
        except OSError:
            assert interrupted, printed  # Linux answers EIO when the other side has closed
    assert demo.returncode == 0, printed
    assert printed.rstrip().endswith("stopped")
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", printed)
    assert re.search(r"└── POST /echo {18}mqtt-trace-echo +[\d.]+ ms *\r?\n", shown), shown
    assert re.search(r"│ [0-9a-f]{32} │ process sensors/\S+… │ malformed │\r?\n", shown), shown
    assert left_behind() == []


def test_a_broken_propagation_is_named(tmp_path: Path) -> None:
    """Without a propagator in the producer no trace connects, and the error names a trace and its gap."""
    stack = Stack(folder=tmp_path, env={"producer": {"OTEL_PROPAGATORS": "none"}})
    with pytest.raises(NotConnectedError) as error:
        run_stack(stack, patience_s=10)
    assert re.fullmatch(
        r"no reading has a connected trace: trace [0-9a-f]{32} is not connected: "
        r"no process span \(CONSUMER\) of mqtt-trace-consumer below publish \(logs: .*\)",
        str(error.value),
    )


def test_a_part_that_does_not_start_is_named_in_one_line(tmp_path: Path) -> None:
    """The line names the part, its own error, and its log, which is kept."""
    stack = Stack(folder=tmp_path, env={"echo": {"ECHO_PORT": "nonsense"}})
    with pytest.raises(ProcessError) as error:
        run_stack(stack)
    assert re.fullmatch(r"echo ended with 2 before it was ready: .*ECHO_PORT.*\(log: .*/echo\.log\)", str(error.value))
    assert (tmp_path / "echo.log").exists()


def test_a_part_that_ends_by_itself_is_noticed(tmp_path: Path) -> None:
    """The demo ends early if a part of its stack has ended."""
    stack = Stack(folder=tmp_path, producer=False)
    with stack:
        echo = psutil.Process(stack.parts["echo"].pid)
        stack.check()
        echo.kill()
        until(lambda: not stack.parts["echo"].running, "echo has ended")
        with pytest.raises(ProcessError, match="echo ended with -9"):
            stack.check()


def test_a_killed_backend_is_named_in_one_line(
    start_demo: Callable[..., subprocess.Popen[str]], left_behind: Callable[[], list[str]], tmp_path: Path
) -> None:
    """If scout-sim dies during a query, the demo ends with its error, keeps its log, and leaves nothing running."""
    demo = start_demo(env={"READINGS": "500"})
    assert demo.stdout is not None
    assert any("└── POST /echo" in line for line in demo.stdout)
    [scout_sim] = [part for part in psutil.Process(demo.pid).children() if "scout-sim" in " ".join(part.cmdline())]
    scout_sim.kill()
    _, errors = demo.communicate(timeout=60)
    assert demo.returncode == 1
    assert re.fullmatch(rf"demo: scout-sim ended with -9: .* \(log: {tmp_path}/[^/]+/scout-sim\.log\)\n", errors)
    assert left_behind() == [str(folder) for folder in tmp_path.glob("mqtt-trace-*")]


def test_a_killed_backend_is_named_while_figures_are_shown(tmp_path: Path) -> None:
    """The demo in a terminal ends with the same line."""
    stack = Stack(folder=tmp_path)

    class Screen(io.StringIO):
        """Kills scout-sim when figures are about to be shown."""

        def write(self, text: str) -> int:
            if "Ctrl-C stops" in text:
                os.kill(stack.parts["scout-sim"].pid, signal.SIGKILL)
            return super().write(text)

    with pytest.raises(ProcessError, match=r"^scout-sim ended with -9: .* \(log: .*/scout-sim\.log\)"):
        Demo(stack, Console(file=Screen(), width=140), readings=1, stay=True).run()


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("#!/bin/sh\necho first >&2\necho 'Error: no route' >&2\nexit 3\n", r"^mosquitto_pub .*: Error: no route"),
        (None, r"^mosquitto_pub is not on PATH: install it"),
    ],
)
def test_a_message_that_cannot_be_sent_is_one_line(
    program: str | None, said: str, stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If mosquitto_pub fails or is missing, the line has its own error."""
    if program:
        (tmp_path / "mosquitto_pub").write_text(program)
        (tmp_path / "mosquitto_pub").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProcessError, match=said):
        send_without_context(stack)
