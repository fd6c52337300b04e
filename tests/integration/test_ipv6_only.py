"""The whole path of a reading with IPv6 only."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from local.connected import STEPS, missing_step
from local.mosquitto import Mosquitto
from local.ports import free_port
from local.processes import Process, answers_http
from local.scout import Scout
from service.tests.commands import environment, find_command
from service.tests.ipv6 import needs_ipv6


def _name_of_loopback() -> str:
    """A name that has the address ::1 and no other, as Debian calls it; the address itself where there is none."""
    try:
        addresses = {found[4][0] for found in socket.getaddrinfo("ip6-localhost", None)}
    except OSError:
        return "[::1]"
    return "ip6-localhost" if addresses == {"::1"} else "[::1]"


@needs_ipv6
def test_a_reading_is_one_trace(make_broker: Callable[..., Mosquitto], tmp_path: Path) -> None:
    """Broker, echo and backend are reached by an address, with or without brackets, and by a name with IPv6 only."""
    ports = {name: str(free_port()) for name in ("broker", "scout-sim", "echo", "consumer", "producer")}
    make_broker(config=[f"listener {ports['broker']} ::1"])
    env = {
        **{name: value for name, value in environment(tmp_path).items() if name != "OTEL_SDK_DISABLED"},
        "ECHO_HOST": "::1",
        "ECHO_PORT": ports["echo"],
        "ECHO_URL": f"http://{_name_of_loopback()}:{ports['echo']}/echo",
        "HEALTH_HOST": "[::1]",
        "MQTT_BROKER_PORT": ports["broker"],
        "NO_PROXY": "*",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://[::1]:{ports['scout-sim']}",
        "PUBLISH_INTERVAL_S": "1",
        "SCOUT_SIM_HOST": "::1",
        "SCOUT_SIM_PORT": ports["scout-sim"],
        "SCOUT_SIM_REQUIRE_TOKEN": "false",
    }
    brokers = {"consumer": "::1", "producer": "[::1]"}
    with ExitStack() as running:
        for name in ("scout-sim", "echo", "consumer", "producer"):
            log = tmp_path / f"{name}.log"
            own_env = {"HEALTH_PORT": ports[name], "MQTT_BROKER_HOST": brokers.get(name, "")}
            part = Process(name, [find_command(name)], log=log, env={**env, **own_env})
            part.start()
            running.callback(part.stop)
            readiness = "ready" if name in {"consumer", "producer"} else "health"
            part.wait_until(answers_http(f"http://[::1]:{ports[name]}/{readiness}"), timeout_s=60)
        for name in brokers:
            assert f"[::1]:{ports['broker']}" in (tmp_path / f"{name}.log").read_text()
        scout = running.enter_context(Scout(f"http://[::1]:{ports['scout-sim']}"))

        def connected() -> bool:
            for trace_id in scout.trace_ids(service="mqtt-trace-echo", limit=10):
                spans = scout.spans(trace_id)
                if len(spans) == len(STEPS) and missing_step(spans) is None:
                    return True
            return False

        part.wait_until(connected, timeout_s=60)
