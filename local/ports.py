"""Free TCP ports on 127.0.0.1."""

import random
import socket

HOST = "127.0.0.1"

# Below the ports that Linux and macOS assign to outgoing connections: a client that retries against a stopped server
# could otherwise get the server's port as its source, connect to itself, and prevent the server's restart.
_CANDIDATES = range(20_000, 30_000)

# Hypothesis seeds `random`, so that test runs at the same time would try the same ports.
_random = random.SystemRandom()
_handed_out: set[int] = set()


def free_port() -> int:
    """Return a port that nothing listens on and that this process has not handed out before.

    Raises:
        OSError: no port in 20000-29999 is free.
    """
    candidates = [port for port in _CANDIDATES if port not in _handed_out]
    for port in _random.sample(candidates, len(candidates)):
        if _is_free(port):
            _handed_out.add(port)
            return port
    raise OSError("no free port on 127.0.0.1 between 20000 and 29999")


def free_port_like(wanted: int) -> int:
    """Return the wanted port if nothing listens on it, else any free port."""
    try:
        with socket.create_server((HOST, wanted)):  # unlike a plain bind, it ignores ended connections
            return wanted
    except OSError:
        return free_port()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
