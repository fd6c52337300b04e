"""The local port of scout-sim in `make up`."""

import socket
from pathlib import Path

import pytest

from local import up
from local.commands import Kubectl
from local.forward import PortForward
from local.ports import free_port, free_port_like

# Like kubectl, it listens on the given port and prints that.
KUBECTL = """#!/usr/bin/env python3
import re, signal, socket, sys
with socket.create_server(("127.0.0.1", int(re.fullmatch(r"(\\d+):\\d+", sys.argv[-1])[1]))):
    print(*sys.argv[1:], flush=True)
    signal.pause()
"""


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kubectl:
    """A fake kubectl that needs no cluster."""
    program = tmp_path / "kubectl"
    program.write_text(KUBECTL)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return Kubectl(None, "mqtt-trace")


@pytest.fixture
def usual_port(monkeypatch: pytest.MonkeyPatch) -> int:
    """A port instead of 4320, which may be taken here."""
    port = free_port()
    monkeypatch.setattr(up, "_PORT", port)
    return port


def test_scout_sim_is_where_the_documentation_asks_it(kubectl: Kubectl, usual_port: int, tmp_path: Path) -> None:
    """If the documented port is free, it is forwarded to scout-sim."""
    with up.forward_scout_sim(kubectl, tmp_path / "log") as forward:
        forward.ensure()
        assert forward.url == f"http://127.0.0.1:{usual_port}"
        assert (
            (tmp_path / "log")
            .read_text()
            .endswith(f"port-forward service/demo-mqtt-trace-scout-sim {usual_port}:{usual_port}\n")
        )


def test_scout_sim_is_elsewhere_when_its_port_is_taken(kubectl: Kubectl, usual_port: int, tmp_path: Path) -> None:
    """If the documented port is taken, a free one is forwarded."""
    with (
        socket.create_server(("127.0.0.1", usual_port)),
        up.forward_scout_sim(kubectl, tmp_path / "log") as forward,
    ):
        forward.ensure()
        assert forward.url != f"http://127.0.0.1:{usual_port}"


def test_a_connection_that_has_ended_takes_no_port() -> None:
    """A command that is run again at once gets the same port, despite ended connections on it."""
    port = free_port()
    with socket.create_server(("127.0.0.1", port)) as server, socket.create_connection(("127.0.0.1", port)) as client:
        accepted, _ = server.accept()
        accepted.close()  # the side that closes first is remembered
        client.recv(1)
    assert free_port_like(port) == port


def test_any_other_forward_takes_a_free_port(kubectl: Kubectl, tmp_path: Path) -> None:
    """Two forwards at once get different ports."""
    first, second = (PortForward(kubectl, "scout-sim", 4320, tmp_path / "log") for _ in range(2))
    with first, second:
        first.ensure()
        second.ensure()
        assert first.url != second.url
