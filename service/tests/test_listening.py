"""Listening sockets: on which addresses, and what is said of those that cannot be had."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing

import pytest
from mqtt_trace_service import EVERYWHERE, listen
from scout_sim.listening import AddressError
from scout_sim.listening import listen as listen_of_scout_sim

from mqtt_trace import ConfigurationError
from service.tests import without_ipv6
from service.tests.ipv6 import connects, needs_ipv6

Listen = Callable[[str, int], socket.socket]


def _of_the_services(host: str, port: int) -> socket.socket:
    return listen(host, port, prefix="SCOUT_SIM")


# scout-sim imports nothing of ours, so it has its own.
each = pytest.mark.parametrize("listening_on", [_of_the_services, listen_of_scout_sim], ids=["services", "scout-sim"])
needs_filters = pytest.mark.skipif(not without_ipv6.SUPPORTED, reason="filters of system calls are Linux's")


@needs_ipv6
@each
@pytest.mark.parametrize(
    ("host", "reached"),
    [
        (EVERYWHERE, {"127.0.0.1", "::1"}),
        ("0.0.0.0", {"127.0.0.1"}),  # noqa: S104 - what is tested
        ("127.0.0.1", {"127.0.0.1"}),
        ("::1", {"::1"}),
        ("[::1]", {"::1"}),
        ("localhost", {"127.0.0.1"}),
    ],
)
def test_an_address_is_taken_as_it_is(listening_on: Listen, host: str, reached: set[str]) -> None:
    """`::` listens on both families, any other address only on its own."""
    with closing(listening_on(host, 0)) as listening:
        port = listening.getsockname()[1]
        assert {address for address in ("127.0.0.1", "::1") if connects(address, port)} == reached


@needs_ipv6
@each
def test_both_families_do_not_depend_on_the_machines_default(listening_on: Listen) -> None:
    """With net.ipv6.bindv6only=1, `::` still accepts IPv4 connections."""
    with closing(listening_on(EVERYWHERE, 0)) as listening:
        assert listening.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 0


@needs_filters
@pytest.mark.parametrize("refused", ["socket", "bind"])
@pytest.mark.parametrize(
    "make",
    [
        "from mqtt_trace_service import listen; make = lambda host: listen(host, 0, prefix='SCOUT_SIM')",
        "from scout_sim.listening import listen; make = lambda host: listen(host, 0)",
    ],
    ids=["services", "scout-sim"],
)
def test_without_ipv6_everywhere_is_ipv4(make: str, refused: str) -> None:
    """Without IPv6 sockets or addresses, `::` listens on IPv4, and an IPv6 address is refused."""
    program = f"""
{make}
print(make("::").getsockname()[0])
try:
    make("::1")
except Exception as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, without_ipv6.__file__, refused, sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stderr == ""
    everywhere, loopback = done.stdout.splitlines()
    assert everywhere == "0.0.0.0"  # noqa: S104 - what is tested
    assert loopback.startswith("SCOUT_SIM_HOST: cannot listen on [::1]:0: ")


@each
@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("no-such-host.invalid", "no-such-host.invalid"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "[2001:db8::1]"),
        ("[2001:db8::1]", "[2001:db8::1]"),
        ("fe80::1", "[fe80::1]"),
        ("x" * 64, "x" * 64),
        ("a..b", "a..b"),
    ],
)
def test_a_host_that_is_not_ours_is_named(listening_on: Listen, host: str, shown: str) -> None:
    """An unknown, invalid or foreign host is an error that names it, with IPv6 in brackets."""
    with pytest.raises((ConfigurationError, AddressError)) as raised:
        listening_on(host, 80)
    assert str(raised.value).startswith(f"SCOUT_SIM_HOST: cannot listen on {shown}:80: ")
    assert len(str(raised.value).splitlines()) == 1


@each
@pytest.mark.parametrize(
    ("taken", "host", "shown"),
    [
        ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", EVERYWHERE, "[::]"),
        pytest.param("::1", "::1", "[::1]", marks=needs_ipv6),
    ],
)
def test_a_port_in_use_is_named(listening_on: Listen, taken: str, host: str, shown: str) -> None:
    """A port in use is an error with address and reason, even if only one family is in use."""
    family = socket.AF_INET6 if ":" in taken else socket.AF_INET
    with socket.create_server((taken, 0), family=family) as listening:
        port = listening.getsockname()[1]
        with pytest.raises((ConfigurationError, AddressError)) as raised:
            listening_on(host, port)
    assert str(raised.value) == f"SCOUT_SIM_PORT: cannot listen on {shown}:{port}: Address already in use"
