"""Runs commands as processes: waits until they are ready, stops them in bounded time, and leaves none behind."""

import atexit
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import httpx

from local import reaper
from local.interrupts import held_back
from local.waiting import poll

POLL_S = 0.05

_LINES_SHOWN = 10

# Reading the system's certificates takes longer than a whole poll, and no poll here uses HTTPS.
_NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class ProcessError(RuntimeError):
    """A process failed: one line with its name, the cause and its log, and the log's last lines as a note."""


class Process:
    """One command in a process group of its own, with its output in a file.

    Args:
        name: What messages call it.
        command: Program and arguments.
        log: File that its output is appended to.
        env: Its environment, that of this process by default.
    """

    def __init__(self, name: str, command: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.command = list(command)
        self.log = log
        # Python buffers standard output, so earlier lines would follow the error or be lost with it.
        self.env = {"PYTHONUNBUFFERED": "1", **(os.environ if env is None else env)}
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._popen is not None and self._popen.poll() is None

    @property
    def pid(self) -> int:
        """The process id, which is also the id of its group.

        Raises:
            ProcessError: it was never started.
        """
        if self._popen is None:
            raise ProcessError(f"{self.name} was not started")
        return self._popen.pid

    def start(self) -> None:
        """Start it; `wait_until` waits until it is ready.

        Raises:
            ProcessError: it is running already, or there is no such command.
        """
        if self.running:
            raise ProcessError(f"{self.name} is running already")
        with self.log.open("ab") as output, held_back():  # until `stop` can find it
            try:
                self._popen = subprocess.Popen(
                    self.command,
                    env=self.env,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except FileNotFoundError as error:
                raise ProcessError(f"{self.name} did not start: there is no command {self.command[0]}") from error
            _reaper.add(self._popen)

    def wait_until(self, ready: Callable[[], bool], *, timeout_s: float = 30) -> None:
        """Poll `ready` until it is true.

        Raises:
            ProcessError: the process ended before that, or the time is over.
        """

        def is_ready() -> bool:
            if ready():
                return True
            if not self.running:
                raise self._error(f"ended with {self._returncode()} before it was ready")
            return False

        if not poll(is_ready, timeout_s, POLL_S):
            raise self._error(f"was not ready after {timeout_s:g} s")

    def check(self) -> None:
        """Do nothing while it runs.

        Raises:
            ProcessError: it has ended by itself.
        """
        if not self.running:
            raise self._error(f"ended with {self._returncode()}")

    def stop(self, *, timeout_s: float = 30) -> int:
        """Send SIGTERM, and SIGKILL to its group if it still runs after `timeout_s`.

        Returns:
            Its exit code, negative for a signal as in `subprocess`; that of an earlier end when it had ended.
        """
        return self._end(signal.SIGTERM, timeout_s)

    def kill(self) -> int:
        """Send SIGKILL: it cannot save or log anything."""
        return self._end(signal.SIGKILL, 5)

    def output(self) -> str:
        """Its output so far, over all its starts."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def _end(self, number: signal.Signals, timeout_s: float) -> int:
        if self._popen is None:
            return 0
        if self._popen.poll() is None:
            self._popen.send_signal(number)
            try:
                self._popen.wait(timeout_s)
            except subprocess.TimeoutExpired:
                _kill_group(self._popen.pid)
                self._popen.wait()
        _kill_group(self._popen.pid)  # children that it left behind
        _reaper.remove(self._popen)
        return self._popen.returncode

    def _returncode(self) -> int | None:
        return None if self._popen is None else self._popen.returncode

    def _error(self, what: str) -> ProcessError:
        said = [line for line in self.output().splitlines()[-_LINES_SHOWN:] if line.strip()]
        cause = f": {said[-1].strip()}" if said else ", without a word"
        error = ProcessError(f"{self.name} {what}{cause} (log: {self.log})")
        error.add_note("\n".join(said))
        return error


def answers_http(url: str) -> Callable[[], bool]:
    """Return a condition: `GET url` is answered with 2xx."""

    def ready() -> bool:
        try:
            return httpx.get(url, timeout=2, trust_env=False, verify=_NO_CERTIFICATES).is_success
        except httpx.TransportError:
            return False

    return ready


def accepts_tcp(host: str, port: int) -> Callable[[], bool]:
    """Return a condition: something accepts connections on the port."""

    def ready() -> bool:
        try:
            with socket.create_connection((host, port), timeout=2):
                return True
        except OSError:
            return False

    return ready


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # macOS answers EPERM for a group of zombies
        return


class _Reaper:
    """The pipe to `local.reaper`, which is started with the first process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._popen: subprocess.Popen[str] | None = None
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    def add(self, child: subprocess.Popen[bytes]) -> None:
        with self._lock:
            self._children[child.pid] = child
            self._tell(f"+{child.pid}\n")

    def remove(self, child: subprocess.Popen[bytes]) -> None:
        with self._lock:
            if self._children.pop(child.pid, None):
                self._tell(f"-{child.pid}\n")

    def _tell(self, line: str) -> None:
        if self._popen is None:
            self._popen = subprocess.Popen(
                [sys.executable, "-I", reaper.__file__], stdin=subprocess.PIPE, text=True, start_new_session=True
            )
            atexit.register(self._let_it_end, self._popen)
        if self._popen.stdin:
            self._popen.stdin.write(line)
            self._popen.stdin.flush()

    def _let_it_end(self, popen: subprocess.Popen[str]) -> None:
        """Close its input, so that it ends the remaining groups."""
        if popen.stdin:
            popen.stdin.close()
        while popen.poll() is None:
            for child in self._children.values():
                child.poll()  # an ended child exists until it is reaped
            time.sleep(POLL_S)


_reaper = _Reaper()
