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
from bench.testbed import Testbed, children_cpu_seconds, cpu_seconds, get_json
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


def run_alternately(measurements: Mapping[str, Measurement]) -> Results:
    """The median of each, by messages per second, over some rounds."""
    found: dict[str, list[Figures]] = {name: [] for name in measurements}
    for _ in range(ROUNDS):
        for name, measure in measurements.items():
            found[name].append(measure())
    return {name: sorted(figures, key=lambda one: one.per_second)[ROUNDS // 2] for name, figures in found.items()}


def publishing(testbed: Testbed) -> Results:
    """QoS 1 publishes per second, until the last PUBACK; dropped is counted at the receiver."""
    arguments = (testbed.broker.host, testbed.broker.port, PUBLISHES)

    def traced(module: str, service: str) -> Figures:
        testbed.spans_received()
        figures = testbed.run(module, *arguments)
        return replace(figures, dropped=PUBLISHES - testbed.spans_received().get(service, 0))

    return run_alternately(
        {
            "untraced": lambda: testbed.run("baseline.producer", *arguments, "untraced"),
            "baseline": lambda: traced("baseline.producer", "baseline-producer"),
            "mqtt-trace": lambda: traced("producer", "bench-producer"),
        }
    )


def consuming(testbed: Testbed) -> Results:
    """Readings that wait in a session, consumed through the same echo service."""
    port = free_port()
    url = f"http://{HOST}:{port}"
    env = {"ECHO_HOST": HOST, "ECHO_PORT": str(port)}
    with testbed.service("echo", [script("mqtt-trace-echo")], answers_http(f"{url}/health"), env) as echo:

        def with_echo_cpu(consume: Callable[[Testbed, str], Figures]) -> Figures:
            used = cpu_seconds(echo)
            figures = consume(testbed, f"{url}/echo")
            return replace(figures, echo_cpu_seconds=cpu_seconds(echo) - used)

        return run_alternately(
            {
                "baseline": lambda: with_echo_cpu(_consume_baseline),
                "mqtt-trace": lambda: with_echo_cpu(_consume_mqtt_trace),
            }
        )


def echoing(testbed: Testbed) -> Results:
    """Requests per second of the echo service, with its own processor time."""
    baseline_port, port = free_port(), free_port()
    env = {"ECHO_HOST": HOST, "ECHO_PORT": str(port)}
    return run_alternately(
        {
            "baseline": lambda: _echo(
                testbed,
                "baseline-echo",
                [sys.executable, "-m", "bench.baseline.echo", str(baseline_port)],
                baseline_port,
                {},
            ),
            "mqtt-trace": lambda: _echo(testbed, "mqtt-trace-echo", [script("mqtt-trace-echo")], port, env),
        }
    )


def _echo(testbed: Testbed, service: str, command: list[str], port: int, env: Mapping[str, str]) -> Figures:
    url = f"http://{HOST}:{port}"
    testbed.spans_received()
    with testbed.service("echo", command, answers_http(f"{url}/health"), env) as process:
        before = cpu_seconds(process)
        figures = testbed.run("load", f"{url}/echo", LOAD_S)
        used = cpu_seconds(process) - before
    # The straightforward way makes three spans of a request: one of it, and two of its ASGI messages.
    spans = testbed.spans_received().get(service, 0)
    lost = max(0, figures.count - spans)
    return replace(figures, cpu_seconds=used, dropped=lost)


def _consume_baseline(testbed: Testbed, echo_url: str) -> Figures:
    _fill_session(testbed, "bench-baseline")
    arguments = (testbed.broker.host, testbed.broker.port, TOPIC_FILTER, "bench-baseline", echo_url, READINGS)
    figures = testbed.run("baseline.consumer", *arguments)
    return replace(figures, dropped=_SPANS * READINGS - testbed.spans_received().get("baseline-consumer", 0))


def _consume_mqtt_trace(testbed: Testbed, echo_url: str) -> Figures:
    _fill_session(testbed, "bench-mqtt-trace")
    port = free_port()
    ready = f"http://{HOST}:{port}/ready"
    env = {
        "MQTT_BROKER_HOST": testbed.broker.host,
        "MQTT_BROKER_PORT": str(testbed.broker.port),
        "MQTT_TOPIC_FILTER": TOPIC_FILTER,
        "MQTT_CLIENT_ID": "bench-mqtt-trace",
        "ECHO_URL": echo_url,
        "HEALTH_HOST": HOST,
        "HEALTH_PORT": str(port),
    }
    health = answers_http(f"http://{HOST}:{port}/health")
    ended = children_cpu_seconds()
    with testbed.service("consumer", [script("mqtt-trace-consumer")], health, env) as process:
        first = _wait_for_readings(ready, 1)
        started, before = time.perf_counter(), cpu_seconds(process)
        last = _wait_for_readings(ready, READINGS)
        seconds = time.perf_counter() - started
    used = children_cpu_seconds() - ended - before  # with what it exports at its end
    dropped = _SPANS * READINGS - testbed.spans_received().get("mqtt-trace-consumer", 0)
    return Figures(last - first, seconds, used, dropped)


def _wait_for_readings(ready: str, wanted: int) -> int:
    end = time.monotonic() + _LONGEST_S
    while time.monotonic() < end:
        processed = int(get_json(ready)["processed"])
        if processed >= wanted:
            return processed
        time.sleep(_POLL_S)
    raise TimeoutError(f"the consumer has not processed {wanted} readings within {_LONGEST_S} s")


def _fill_session(testbed: Testbed, client_id: str) -> None:
    """Leave readings with context in the session of a client that is away."""
    client = Client(CallbackAPIVersion.VERSION2, client_id, protocol=MQTTProtocolVersion.MQTTv5)
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 600
    subscribed: list[int] = []
    client.on_subscribe = lambda *_: subscribed.append(1)
    client.connect(testbed.broker.host, testbed.broker.port, clean_start=True, properties=properties)
    client.subscribe(TOPIC_FILTER, 1)
    while not subscribed:
        client.loop(0.1)
    client.disconnect()
    testbed.run("producer", testbed.broker.host, testbed.broker.port, READINGS)


def ratio(results: Results, one: str, other: str) -> float:
    """How many times as many messages per second one is of the other."""
    return results[one].per_second / results[other].per_second
