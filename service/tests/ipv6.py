"""Whether this machine has IPv6, and a check of connections over it."""

from __future__ import annotations

import socket

import pytest


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not _has_ipv6(), reason="this machine has no ::1")


def connects(host: str, port: int) -> bool:
    """Whether a server listens there."""
    try:
        with socket.create_connection((host, port), timeout=20):
            return True
    except OSError:
        return False
