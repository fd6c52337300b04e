"""Changes that affect thousands of devices, logged in few lines."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest
from mqtt_trace_producer import connectivity
from mqtt_trace_producer.connectivity import Connectivity
from mqtt_trace_producer.incident import Incident

from local.waiting import until_async
from mqtt_trace.aio import REFUSED

LOST = "connection lost: Unspecified error"
REFUSED_CONNECTION = "ConnectionRefusedError: [Errno 111] Connection refused"


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The producer's log messages so far."""
    caplog.set_level(logging.INFO)
    return lambda: [record.getMessage() for record in caplog.records if record.name.startswith("mqtt_trace_producer")]


def fleet(count: int) -> tuple[Connectivity, list[str]]:
    """A Connectivity with some devices, and their ids."""
    connections = Connectivity("broker:1883")
    devices = [f"sensor-{number}" for number in range(count)]
    for device in devices:
        connections.add_device(device)
    return connections, devices


def test_an_outage_of_all_devices_is_two_lines(lines: Callable[[], list[str]]) -> None:
    """Connected, lost and connected again are one line each, whatever the number of failed attempts."""

    async def outage() -> None:
        connections, devices = fleet(200)
        for device in devices:
            connections.set_connected(device)
        for device in devices:
            connections.set_disconnected(device, LOST)
        await until_async(lambda: len(lines()) == 2, "two lines")
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


def test_an_unreachable_broker_at_the_start_is_one_line(lines: Callable[[], list[str]]) -> None:
    """Devices that still connect are not reported; the cause of their failure is reported once."""

    async def start() -> None:
        connections, devices = fleet(3)
        for device in devices * 4:
            connections.set_disconnected(device, REFUSED_CONNECTION)
        await until_async(lines, "a line")
        connections.close()

    asyncio.run(start())
    assert lines() == [f"broker broker:1883: {REFUSED_CONNECTION}, 3 of 3 devices waiting; retrying"]


def test_a_short_outage_is_reported(lines: Callable[[], list[str]]) -> None:
    """An outage is reported even if it ends before its line is due."""

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


def test_some_and_all_lost_connections_are_different_states(lines: Callable[[], list[str]]) -> None:
    """The loss of some connections and the loss of all are reported separately."""

    async def outage() -> None:
        connections, devices = fleet(10)
        for device in devices:
            connections.set_connected(device)
        for device in devices[:3]:
            connections.set_disconnected(device, LOST)
        await until_async(lambda: len(lines()) == 2, "two lines")
        for device in devices[3:]:
            connections.set_disconnected(device, LOST)
        await until_async(lambda: len(lines()) == 3, "three lines")
        connections.close()

    asyncio.run(outage())
    assert lines()[1:] == [
        f"broker broker:1883: {LOST}, 3 of 10 devices waiting; retrying",
        f"broker broker:1883: {LOST}, 10 of 10 devices waiting; retrying",
    ]


def test_a_broker_that_refuses_after_an_outage_is_a_new_state(lines: Callable[[], list[str]]) -> None:
    """A refusal after an outage is reported, because the broker is reachable again."""

    async def outage() -> None:
        connections, devices = fleet(1)
        connections.set_disconnected(devices[0], REFUSED_CONNECTION)
        await until_async(lambda: len(lines()) == 1, "one line")
        for _ in range(3):
            connections.set_disconnected(devices[0], f"{REFUSED}: Not authorized")
        await until_async(lambda: len(lines()) == 2, "two lines")
        connections.close()

    asyncio.run(outage())
    assert lines()[1] == f"broker broker:1883: {REFUSED}: Not authorized, 1 of 1 device waiting; retrying"


def test_devices_that_do_not_reconnect_with_the_others_are_reported(
    lines: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A single device that stays disconnected is reported after the others have reconnected."""
    monkeypatch.setattr(connectivity, "_STUCK_S", 0.2)

    async def recovery() -> None:
        connections, devices = fleet(5)
        for device in devices:
            connections.set_disconnected(device, LOST)
        await until_async(lambda: len(lines()) == 1, "one line")
        for device in devices[1:]:
            connections.set_connected(device)
        await until_async(lambda: len(lines()) == 2, "two lines")
        connections.close()

    asyncio.run(recovery())
    assert lines()[1] == f"broker broker:1883: {LOST}, 1 of 5 devices waiting; retrying"


def test_removed_devices_do_not_count(lines: Callable[[], list[str]]) -> None:
    """Devices that are removed while they are disconnected no longer count as waiting."""

    async def shrink() -> None:
        connections, devices = fleet(5)
        for device in devices[:3]:
            connections.set_connected(device)
        for device in devices[3:]:
            connections.set_disconnected(device, LOST)
        await until_async(lambda: len(lines()) == 1, "one line")
        for device in devices[2:]:
            connections.remove_device(device)
        await until_async(lambda: len(lines()) == 2, "two lines")

    asyncio.run(shrink())
    assert lines()[1] == "broker broker:1883: 2 of 2 devices connected"


def test_an_incident_is_one_line_at_its_start_and_one_with_totals_at_its_end(
    lines: Callable[[], list[str]],
) -> None:
    """Forty dropped readings of two devices are two lines."""

    async def run_incident() -> None:
        incident = Incident(logging.getLogger("mqtt_trace_producer.test"), "buffers are full", "backlog sent")
        for device in ["a", "b"] * 10:
            incident.record_dropped(device)
        await until_async(lines, "a line")
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


def test_a_short_incident_is_reported(lines: Callable[[], list[str]]) -> None:
    """A single dropped reading is reported, and a second incident counts from zero."""

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
