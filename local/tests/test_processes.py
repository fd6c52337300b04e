"""Processes become ready by a condition, and never outlive their parent."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import psutil
import pytest

from local.ports import free_port
from local.processes import Process, ProcessError, accepts_tcp, answers_http
from local.waiting import until

SLEEPS = "import time; print('up', flush=True); time.sleep(60)"
IGNORES_SIGTERM = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPS}"


@pytest.fixture
def make_process(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Create processes that run a piece of Python; they are killed at the end."""
    made: list[Process] = []

    def make(code: str, env: Mapping[str, str] | None = None) -> Process:
        process = Process("sample", [sys.executable, "-c", code], log=tmp_path / f"{len(made)}.log", env=env)
        made.append(process)
        return process

    yield make
    for process in made:
        process.kill()


def is_gone(pid: int) -> bool:
    """Return whether no such process runs (a zombie that init has not collected yet does not)."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_readiness_is_waited_for(make_process: Callable[[str], Process]) -> None:
    """`wait_until` returns when the command listens on the port."""
    port = free_port()
    process = make_process(
        f"import socket, time; time.sleep(0.3); s = socket.create_server(('127.0.0.1', {port})); time.sleep(60)"
    )
    process.start()
    process.wait_until(accepts_tcp("127.0.0.1", port))
    assert process.running
    process.check()


def test_an_early_end_is_reported_at_once_with_its_cause(make_process: Callable[[str], Process]) -> None:
    """The error is one line with name, exit code, last words and log; the lines before are its note."""
    process = make_process("import sys; print('first'); sys.exit('PORT must be a number')")
    process.start()
    with pytest.raises(ProcessError) as error:
        process.wait_until(lambda: False, timeout_s=3600)
    assert str(error.value) == (f"sample ended with 1 before it was ready: PORT must be a number (log: {process.log})")
    assert error.value.__notes__ == ["first\nPORT must be a number"]


@pytest.mark.parametrize(
    ("end", "cause"),
    [
        ("sys.exit('PORT must be a number')", "1 before it was ready: PORT must be a number"),
        ("raise ValueError('PORT')", "1 before it was ready: ValueError: PORT"),
        ("os.write(2, b'cannot bind'); os.kill(os.getpid(), 15)", "-15 before it was ready: cannot bind"),
        ("os._exit(3)", "3 before it was ready: first"),
        ("os.abort()", "-6 before it was ready: first"),
    ],
)
def test_the_cause_is_what_was_said_last(make_process: Callable[..., Process], end: str, cause: str) -> None:
    """The last printed line is the cause, whether it went to stdout or stderr."""
    process = make_process(f"import os, sys; print('first'); {end}", env={"PATH": os.environ["PATH"]})
    process.start()
    with pytest.raises(ProcessError) as error:
        process.wait_until(lambda: False, timeout_s=3600)
    assert str(error.value) == f"sample ended with {cause} (log: {process.log})"


def test_a_deadline_is_reported(make_process: Callable[[str], Process]) -> None:
    """A process that never becomes ready is an error with the time-out."""
    process = make_process("import time; time.sleep(60)")
    process.start()
    with pytest.raises(ProcessError, match=r"^sample was not ready after 0\.2 s, without a word \(log: "):
        process.wait_until(lambda: False, timeout_s=0.2)


def test_an_end_without_being_asked_is_noticed(make_process: Callable[[str], Process]) -> None:
    """`check` raises for a process that has ended without being stopped."""
    process = make_process("raise SystemExit('out of memory')")
    process.start()
    until(lambda: not process.running, "the process has ended")
    with pytest.raises(ProcessError, match="sample ended with 1: out of memory"):
        process.check()


def test_a_missing_command_is_named(tmp_path: Path) -> None:
    """A command that does not exist is an error with its name."""
    process = Process("sample", ["no-such-command"], log=tmp_path / "log")
    with pytest.raises(ProcessError, match="sample did not start: there is no command no-such-command"):
        process.start()


def test_stopping_is_graceful_and_tells_the_exit_code(make_process: Callable[[str], Process]) -> None:
    """`stop` sends SIGTERM, and returns the exit code of the process."""
    process = make_process(
        "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); print('up', flush=True);"
        "time.sleep(60)"
    )
    process.start()
    process.wait_until(lambda: "up" in process.output())
    assert process.stop() == 7
    assert not process.running
    assert process.stop() == 7


def test_what_ignores_sigterm_is_killed(make_process: Callable[[str], Process]) -> None:
    """A process that does not end in time gets SIGKILL."""
    process = make_process(IGNORES_SIGTERM)
    process.start()
    process.wait_until(lambda: "up" in process.output())
    assert process.stop(timeout_s=0.2) == -signal.SIGKILL


def test_children_of_a_stopped_process_end_too(make_process: Callable[[str], Process]) -> None:
    """Children of a process do not outlive its stop."""
    process = make_process(
        "import subprocess, sys, time; child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    process.start()
    process.wait_until(lambda: process.output().endswith("\n"))
    child = int(process.output())
    process.stop()
    until(lambda: is_gone(child), "the child is gone")


@pytest.mark.parametrize(
    ("end", "child_code"),
    [(signal.SIGINT, SLEEPS), (signal.SIGTERM, SLEEPS), (signal.SIGKILL, SLEEPS), (signal.SIGKILL, IGNORES_SIGTERM)],
)
def test_nothing_outlives_its_parent(end: signal.Signals, child_code: str, tmp_path: Path) -> None:
    """Processes end with their parent, even if it was killed and they ignore SIGTERM."""
    code = textwrap.dedent(f"""
        import sys, time
        from pathlib import Path
        from local.processes import Process
        child = Process("child", [sys.executable, "-c", {child_code!r}], log=Path("child.log"))
        child.start()
        child.wait_until(lambda: "up" in child.output())
        print(child.pid, flush=True)
        time.sleep(60)
    """)
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.send_signal(end)
        parent.wait(15)
    until(lambda: is_gone(child), "the child is gone")


def test_a_process_is_on_record_before_an_interrupt(
    make_process: Callable[[str], Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After Ctrl-C during its start, a process can still be stopped."""
    process = make_process(SLEEPS)

    class Interrupted(subprocess.Popen[bytes]):
        """Ctrl-C arrives when the process already exists."""

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        process.start()
    assert process.running


def test_http_readiness_is_an_answer_of_success() -> None:
    """503 and a refused connection are not ready, 200 is."""
    status = 503

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = Thread(target=server.serve_forever)
        serving.start()
        ready = answers_http(f"http://127.0.0.1:{server.server_port}/ready")
        assert not ready()
        status = 200
        assert ready()
        server.shutdown()
        serving.join()
    assert not ready()


def test_free_ports_are_free_and_given_once() -> None:
    """Ports are distinct, can be listened on, and lie below those of outgoing connections."""
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == 50
    for port in ports:
        assert 20_000 <= port < 30_000
        with socket.create_server(("127.0.0.1", port)):
            pass
