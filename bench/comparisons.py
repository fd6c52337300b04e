"""The straightforward way and ours, in turn, so that a noisy moment meets both."""

import sys
import sysconfig
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from bench.figures import Figures
from bench.reading import TOPIC_FILTER
from bench.testbed import Bed, children_cpu_seconds, cpu_seconds, get_json
from local.ports import HOST, free_port
from local.processes import answers_http

ROUNDS = 3
PUBLISHES = 20_000
READINGS = 3_000
LOAD_S = 5
_SPANS = 2
"""Of each consumed reading: one to process it, one for the call to echo."""
_LONGEST_S = 300
_POLL_S = 0.05

Results = dict[str, Figures]
Measurement = Callable[[], Figures]


def script(name: str) -> str:
    """The path of a command of this environment."""
    return str(Path(sysconfig.get_path("scripts")) / name)


def in_turn(measurements: Mapping[str, Measurement]) -> Results:
    """The median of each, by messages per second, over some rounds."""
    found: dict[str, list[Figures]] = {name: [] for name in measurements}
    for _ in range(ROUNDS):
        for name, measure in measurements.items():
            found[name].append(measure())
    return {name: sorted(figures, key=lambda one: one.per_second)[ROUNDS // 2] for name, figures in found.items()}


def publishing(bed: Bed) -> Results:
    """QoS 1 publishes per second, until the last PUBACK; dropped is counted at the receiver."""
    arguments = (bed.broker.host, bed.broker.port, PUBLISHES)

    def traced(module: str, service: str) -> Figures:
        bed.spans_received()
        figures = bed.run(module, *arguments)
        return replace(figures, dropped=PUBLISHES - bed.spans_received().get(service, 0))

    return in_turn(
        {
            "untraced": lambda: bed.run("baseline.producer", *arguments, "untraced"),
            "straightforward": lambda: traced("baseline.producer", "straightforward-producer"),
            "ours": lambda: traced("producer", "bench-producer"),
        }
    )


def consuming(bed: Bed) -> Results:
    """Readings that wait in a session, consumed through the same echo service."""
    port = free_port()
    url = f"http://{HOST}:{port}"
    env = {"ECHO_HOST": HOST, "ECHO_PORT": str(port)}
    with bed.service("echo", [script("mqtt-trace-echo")], answers_http(f"{url}/health"), env) as echo:

        def beside_echo(consume: Callable[[Bed, str], Figures]) -> Figures:
            used = cpu_seconds(echo)
            figures = consume(bed, f"{url}/echo")
            return replace(figures, echo_cpu_seconds=cpu_seconds(echo) - used)

        return in_turn(
            {
                "straightforward": lambda: beside_echo(_straightforward_consumer),
                "ours": lambda: beside_echo(_our_consumer),
            }
        )


def echoing(bed: Bed) -> Results:
    """Requests per second of the echo service, with its own processor time."""
    straightforward, ours = free_port(), free_port()
    env = {"ECHO_HOST": HOST, "ECHO_PORT": str(ours)}
    return in_turn(
        {
            "straightforward": lambda: _echo(
                bed,
                "straightforward-echo",
                [sys.executable, "-m", "bench.baseline.echo", str(straightforward)],
                straightforward,
                {},
            ),
            "ours": lambda: _echo(bed, "mqtt-trace-echo", [script("mqtt-trace-echo")], ours, env),
        }
    )


def _echo(bed: Bed, service: str, command: list[str], port: int, env: Mapping[str, str]) -> Figures:
    url = f"http://{HOST}:{port}"
    bed.spans_received()
    with bed.service("echo", command, answers_http(f"{url}/health"), env) as process:
        before = cpu_seconds(process)
        figures = bed.run("load", f"{url}/echo", LOAD_S)
        used = cpu_seconds(process) - before
    # The straightforward way makes three spans of a request: one of it, and two of its ASGI messages.
    spans = bed.spans_received().get(service, 0)
    lost = max(0, figures.count - spans)
    return replace(figures, cpu_seconds=used, dropped=lost)


def _straightforward_consumer(bed: Bed, echo_url: str) -> Figures:
    _fill_session(bed, "bench-straightforward")
    arguments = (bed.broker.host, bed.broker.port, TOPIC_FILTER, "bench-straightforward", echo_url, READINGS)
    figures = bed.run("baseline.consumer", *arguments)
    return replace(figures, dropped=_SPANS * READINGS - bed.spans_received().get("straightforward-consumer", 0))


def _our_consumer(bed: Bed, echo_url: str) -> Figures:
    _fill_session(bed, "bench-ours")
    port = free_port()
    ready = f"http://{HOST}:{port}/ready"
    env = {
        "MQTT_BROKER_HOST": bed.broker.host,
        "MQTT_BROKER_PORT": str(bed.broker.port),
        "MQTT_TOPIC_FILTER": TOPIC_FILTER,
        "MQTT_CLIENT_ID": "bench-ours",
        "ECHO_URL": echo_url,
        "HEALTH_HOST": HOST,
        "HEALTH_PORT": str(port),
    }
    health = answers_http(f"http://{HOST}:{port}/health")
    ended = children_cpu_seconds()
    with bed.service("consumer", [script("mqtt-trace-consumer")], health, env) as process:
        first = _wait_for_readings(ready, 1)
        started, before = time.perf_counter(), cpu_seconds(process)
        last = _wait_for_readings(ready, READINGS)
        seconds = time.perf_counter() - started
    used = children_cpu_seconds() - ended - before  # with what it exports at its end
    dropped = _SPANS * READINGS - bed.spans_received().get("mqtt-trace-consumer", 0)
    return Figures(last - first, seconds, used, dropped)


def _wait_for_readings(ready: str, wanted: int) -> int:
    end = time.monotonic() + _LONGEST_S
    while time.monotonic() < end:
        processed = int(get_json(ready)["processed"])
        if processed >= wanted:
            return processed
        time.sleep(_POLL_S)
    raise TimeoutError(f"the consumer has not processed {wanted} readings within {_LONGEST_S} s")


def _fill_session(bed: Bed, client_id: str) -> None:
    """Leave readings with context in the session of a client that is away."""
    client = Client(CallbackAPIVersion.VERSION2, client_id, protocol=MQTTProtocolVersion.MQTTv5)
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 600
    subscribed: list[int] = []
    client.on_subscribe = lambda *_: subscribed.append(1)
    client.connect(bed.broker.host, bed.broker.port, clean_start=True, properties=properties)
    client.subscribe(TOPIC_FILTER, 1)
    while not subscribed:
        client.loop(0.1)
    client.disconnect()
    bed.run("producer", bed.broker.host, bed.broker.port, READINGS)


def ratio(results: Results, one: str, other: str) -> float:
    """How many times as many messages per second one is of the other."""
    return results[one].per_second / results[other].per_second
