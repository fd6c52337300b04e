"""Liveness and readiness over HTTP."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping

import aiohttp
import pytest
from mqtt_trace_service import HealthServer, listen

from mqtt_trace import ConfigurationError
from service.tests.accepting import no_delay_of_accepted


async def _get(server: HealthServer, path: str) -> tuple[int, object]:
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{server.port}{path}") as answer:
        return answer.status, await answer.json()


def test_ready_follows_the_status_of_the_service_and_health_does_not() -> None:
    """A service that waits for its broker is healthy but not ready, and the answer says why."""
    status: tuple[bool, Mapping[str, object]] = (False, {"broker": "away"})

    async def probe() -> None:
        nonlocal status
        async with HealthServer("127.0.0.1", 0, lambda: status) as server:
            assert await _get(server, "/health") == (200, {"status": "ok"})
            assert await _get(server, "/ready") == (503, {"ready": False, "broker": "away"})
            status = (True, {"broker": "connected"})
            assert await _get(server, "/ready") == (200, {"ready": True, "broker": "connected"})

    asyncio.run(probe())


def test_a_service_that_is_stuck_says_so() -> None:
    """A stuck service does not answer 200, so that Kubernetes restarts it."""

    async def probe() -> None:
        async with HealthServer("127.0.0.1", 0, lambda: (True, {}), alive=lambda: False) as server:
            assert await _get(server, "/health") == (503, {"status": "stuck"})

    asyncio.run(probe())


def test_the_port_is_free_again_afterwards() -> None:
    """The port is free again after the server stops, even if a probe keeps its connection."""

    async def probe() -> None:
        async with aiohttp.ClientSession() as http:
            async with (
                HealthServer("127.0.0.1", 0, lambda: (True, {})) as first,
                http.get(f"http://127.0.0.1:{first.port}/health") as answer,
            ):
                await answer.read()
            async with HealthServer("127.0.0.1", first.port, lambda: (True, {})) as second:
                assert second.port == first.port

    asyncio.run(probe())


def test_a_port_in_use_is_named() -> None:
    """A port in use is an error with the address and the reason."""

    async def start(port: int) -> None:
        async with HealthServer("127.0.0.1", port, lambda: (True, {})):
            """Not reached."""

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError) as raised:
            asyncio.run(start(port))
    assert raised.value.variable == "HEALTH_PORT"
    assert raised.value.problem == f"cannot listen on 127.0.0.1:{port}: Address already in use"


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1"])
def test_a_host_that_is_not_ours_is_named(host: str) -> None:
    """An unknown host, or one of another machine, is an error that names it."""
    with pytest.raises(ConfigurationError, match=r"^ECHO_HOST: cannot listen on"):
        listen(host, 0, prefix="ECHO")


def test_connections_answer_without_delay() -> None:
    """Nagle's algorithm is off on accepted connections, so answers do not wait 40 ms."""
    assert asyncio.run(no_delay_of_accepted(listen("127.0.0.1", 0, prefix="ECHO"))) == 1
