"""Every service answers by IPv6 and by IPv4 as it is installed, and by IPv4 where there is nothing else."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from local.ports import free_port
from local.processes import Process, answers_http
from service.tests import without_ipv6
from service.tests.commands import COMMANDS, environment, find_command
from service.tests.ipv6 import needs_ipv6


@contextmanager
def _answering(command: str, folder: Path, *, through: Sequence[str] = ()) -> Iterator[int]:
    """The port on which a service answers by IPv4 that has nothing but its port set."""
    port = free_port()
    ports = dict.fromkeys(("ECHO_PORT", "HEALTH_PORT", "SCOUT_SIM_PORT"), str(port))
    env = {**environment(folder), **ports}
    process = Process(command, [*through, find_command(command)], log=folder / "log", env=env)
    process.start()
    try:
        process.wait_until(answers_http(f"http://127.0.0.1:{port}/health"), timeout_s=60)
        yield port
    finally:
        process.stop()


@needs_ipv6
@pytest.mark.parametrize("command", COMMANDS)
def test_a_service_answers_by_both(command: str, tmp_path: Path) -> None:
    """Each service answers over IPv4 and IPv6."""
    with _answering(command, tmp_path) as port:
        assert answers_http(f"http://[::1]:{port}/health")()


@pytest.mark.skipif(not without_ipv6.SUPPORTED, reason="filters of system calls are Linux's")
@pytest.mark.parametrize("command", ["consumer", "echo", "scout-sim"])
def test_a_service_answers_where_there_is_no_ipv6(command: str, tmp_path: Path) -> None:
    """A service starts and answers on a kernel without IPv6."""
    with _answering(command, tmp_path, through=[sys.executable, without_ipv6.__file__, "socket"]):
        """It has answered by IPv4."""
