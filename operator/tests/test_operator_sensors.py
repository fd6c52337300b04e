"""The pods' reports of their sensors, over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest
from lightkube.resources.core_v1 import Pod
from mqtt_trace_operator.sensors import Report, Sensors
from mqtt_trace_service import HealthServer

from service.tests.ipv6 import needs_ipv6

MakePod = Callable[..., Pod]


async def reports(port: int, *pods: Pod) -> Mapping[str, Report]:
    """Ask these pods for their reports."""
    sensors = Sensors(port)
    try:
        return await sensors.read_reports(pods)
    finally:
        await sensors.close()


@pytest.mark.parametrize("ready", [True, False])
def test_a_pod_reports_whether_it_is_ready_or_not(make_pod: MakePod, ready: bool) -> None:
    """A pod whose sensors are still connecting answers 503 with the same figures."""

    async def ask() -> None:
        causes = {"no route": 40, "x" * 300: 1, "odd": "many"}
        figures = {"devices": 100, "connected": 60, "generation": 7, "started_at": 1000.5, "causes": causes}
        async with HealthServer("127.0.0.1", 0, lambda: (ready, figures)) as server:
            assert await reports(server.port, make_pod(podIP="127.0.0.1")) == {
                "demo-0": Report(60, 7, 1000.5, {"no route": 40, "x" * 200: 1})
            }

    asyncio.run(ask())


@needs_ipv6
def test_a_pod_with_an_ipv6_address_reports(make_pod: MakePod) -> None:
    """A pod of an IPv6-only cluster is asked as well."""

    async def ask() -> None:
        async with HealthServer("::1", 0, lambda: (True, {"connected": 60})) as server:
            assert await reports(server.port, make_pod(podIP="::1")) == {"demo-0": Report(60, 0)}

    asyncio.run(ask())


def test_a_pod_that_does_not_answer_has_no_report(make_pod: MakePod) -> None:
    """A pod that does not answer and one without an address have no report; other pods keep theirs."""

    async def ask() -> None:
        async with HealthServer("127.0.0.1", 0, lambda: (True, {"connected": 1})) as server:
            pods = [make_pod(0), make_pod(1, podIP="127.0.0.2"), make_pod(2, podIP="127.0.0.1")]
            assert await reports(server.port, *pods) == {"demo-2": Report(1, 0)}

    asyncio.run(ask())


def test_something_else_on_the_port_has_no_report(make_pod: MakePod) -> None:
    """An answer without a number of connected sensors is ignored."""

    async def ask() -> None:
        async with HealthServer("127.0.0.1", 0, lambda: (True, {"connected": "many"})) as server:
            assert await reports(server.port, make_pod(podIP="127.0.0.1")) == {}

    asyncio.run(ask())
