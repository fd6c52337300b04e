"""What thousands of devices go through, told in few lines."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest
from mqtt_trace_producer import connectivity
from mqtt_trace_producer.connectivity import Connectivity
from mqtt_trace_producer.incident import Incident

from mqtt_trace.aio import REFUSED

DEADLINE_S = 30.0
LOST = "connection lost: Unspecified error"
REFUSED_CONNECTION = "ConnectionRefusedError: [Errno 111] Connection refused"


async def until(condition: Callable[[], object]) -> None:
    """Wait for a condition up to the deadline."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - a log line sets no event
            await asyncio.sleep(0.01)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What was logged so far."""
    caplog.set_level(logging.INFO)
    return lambda: [record.getMessage() for record in caplog.records if record.name.startswith("mqtt_trace_producer")]


def fleet(count: int) -> tuple[Connectivity, list[str]]:
    """Connectivity that expects some devices, and their ids."""
    connections = Connectivity("broker:1883")
    for _ in range(count):
        connections.add_device()
    return connections, [f"sensor-{number}" for number in range(count)]


def test_an_outage_of_all_devices_is_two_lines(lines: Callable[[], list[str]]) -> None:
    """Connected, lost, and connected again: one line each, however often each device fails to come back."""

    async def outage() -> None:
        connections, devices = fleet(200)
        for device in devices:
            connections.set_connected(device)
        for device in devices:
            connections.set_disconnected(device, LOST)
        await until(lambda: len(lines()) == 2)
        for _ in range(5):
            for device in devices:
                connections.set_disconnected(device, REFUSED_CONNECTION)
        for device in devices:
            connections.set_connected(device)

    asyncio.run(outage())
    assert lines() == [
        "broker broker:1883: 200 of 200 devices connected",
        f"broker broker:1883: {LOST}, 200 of 200 devices waiting; retrying",
        "broker broker:1883: 200 of 200 devices connected",
    ]


def test_a_broker_that_is_not_there_at_the_start_is_one_line(lines: Callable[[], list[str]]) -> None:
    """Nothing is said about devices that are still connecting, then the cause once."""

    async def start() -> None:
        connections, devices = fleet(3)
        for device in devices * 4:
            connections.set_disconnected(device, REFUSED_CONNECTION)
        await until(lines)
        connections.close()

    asyncio.run(start())
    assert lines() == [f"broker broker:1883: {REFUSED_CONNECTION}, 3 of 3 devices waiting; retrying"]


def test_an_outage_that_is_over_at_once_is_told_all_the_same(lines: Callable[[], list[str]]) -> None:
    """Devices that are back before their loss was told do not hide it."""

    async def outage() -> None:
        connections, devices = fleet(3)
        for device in devices:
            connections.set_connected(device)
        for device in devices:
            connections.set_disconnected(device, LOST)
        for device in devices:
            connections.set_connected(device)

    asyncio.run(outage())
    assert lines()[1:] == [
        f"broker broker:1883: {LOST}, 3 of 3 devices waiting; retrying",
        "broker broker:1883: 3 of 3 devices connected",
    ]


def test_some_lost_connections_and_then_all_are_different_states(lines: Callable[[], list[str]]) -> None:
    """A part of the fleet that is away is told apart from a broker that is away."""

    async def outage() -> None:
        connections, devices = fleet(10)
        for device in devices:
            connections.set_connected(device)
        for device in devices[:3]:
            connections.set_disconnected(device, LOST)
        await until(lambda: len(lines()) == 2)
        for device in devices[3:]:
            connections.set_disconnected(device, LOST)
        await until(lambda: len(lines()) == 3)
        connections.close()

    asyncio.run(outage())
    assert lines()[1:] == [
        f"broker broker:1883: {LOST}, 3 of 10 devices waiting; retrying",
        f"broker broker:1883: {LOST}, 10 of 10 devices waiting; retrying",
    ]


def test_a_broker_that_comes_back_and_refuses_is_a_new_state(lines: Callable[[], list[str]]) -> None:
    """Somebody who waits for a broker to come back learns that it is back and does not want the devices."""

    async def outage() -> None:
        connections, devices = fleet(1)
        connections.set_disconnected(devices[0], REFUSED_CONNECTION)
        await until(lambda: len(lines()) == 1)
        for _ in range(3):
            connections.set_disconnected(devices[0], f"{REFUSED}: Not authorized")
        await until(lambda: len(lines()) == 2)
        connections.close()

    asyncio.run(outage())
    assert lines()[1] == f"broker broker:1883: {REFUSED}: Not authorized, 1 of 1 device waiting; retrying"


def test_devices_that_stay_away_after_the_others_came_back_are_told(
    lines: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One device that the broker does not let in is not hidden behind the many that it does."""
    monkeypatch.setattr(connectivity, "_STUCK_S", 0.2)

    async def recovery() -> None:
        connections, devices = fleet(5)
        for device in devices:
            connections.set_disconnected(device, LOST)
        await until(lambda: len(lines()) == 1)
        for device in devices[1:]:
            connections.set_connected(device)
        await until(lambda: len(lines()) == 2)
        connections.close()

    asyncio.run(recovery())
    assert lines()[1] == f"broker broker:1883: {LOST}, 1 of 5 devices waiting; retrying"


def test_a_fleet_that_shrinks_is_told_once_without_those_that_have_gone(lines: Callable[[], list[str]]) -> None:
    """Devices that are removed while they cannot connect do not count as waiting any more."""

    async def shrink() -> None:
        connections, devices = fleet(5)
        for device in devices[:3]:
            connections.set_connected(device)
        for device in devices[3:]:
            connections.set_disconnected(device, LOST)
        await until(lambda: len(lines()) == 1)
        for device in devices[2:]:
            connections.remove_device(device)
        await until(lambda: len(lines()) == 2)

    asyncio.run(shrink())
    assert lines()[1] == "broker broker:1883: 2 of 2 devices connected"


def test_an_episode_is_one_line_when_it_begins_and_one_with_totals_when_it_ends(
    lines: Callable[[], list[str]],
) -> None:
    """Forty lost readings of two devices are two lines."""

    async def run_incident() -> None:
        incident = Incident(logging.getLogger("mqtt_trace_producer.test"), "buffers are full", "backlog sent")
        for device in ["a", "b"] * 10:
            incident.record_dropped(device)
        await until(lines)
        for device in ["a", "b"] * 10:
            incident.record_dropped(device)
        incident.resolve("a")
        incident.resolve("c")
        incident.resolve("b")
        incident.resolve("b")

    asyncio.run(run_incident())
    assert lines() == [
        "buffers are full: 2 devices so far",
        "backlog sent; dropped meanwhile: 40 readings of 2 devices",
    ]


def test_an_episode_that_is_over_at_once_is_told_all_the_same(lines: Callable[[], list[str]]) -> None:
    """A single lost reading does not go unnoticed, and a second episode counts from nought."""

    async def run_incident() -> None:
        incident = Incident(logging.getLogger("mqtt_trace_producer.test"), "refused", "accepted again")
        for detail in ("0x87 Not authorized", "0x97 Quota exceeded"):
            incident.record_dropped("a", detail)
            incident.resolve("a")

    asyncio.run(run_incident())
    assert lines() == [
        "refused (0x87 Not authorized): 1 device so far",
        "accepted again; dropped meanwhile: 1 reading of 1 device",
        "refused (0x97 Quota exceeded): 1 device so far",
        "accepted again; dropped meanwhile: 1 reading of 1 device",
    ]
