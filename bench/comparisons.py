"""The baseline and mqtt-trace, measured alternately so that a busy moment of the machine affects both."""

import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from bench.figures import Figures
from bench.http_hop import TRANSPORTS
from bench.reading import TOPIC_FILTER
from bench.testbed import Testbed, children_cpu_seconds, cpu_seconds, get_json
from local.ports import HOST, free_port
from local.processes import answers_http
from local.waiting import poll

ROUNDS = 3
PUBLISHES = 20_000
READINGS = 3_000
LOAD_S = 5
_SPANS = 2
"""Spans of each consumed reading: process, and the call to echo."""
_DEADLINE_S = 300
_POLL_S = 0.05

Results = dict[str, Figures]
Measurement = Callable[[], Figures]


def script(name: str) -> str:
    """The path of a command that is installed in this environment."""
    return str(Path(sysconfig.get_path("scripts")) / name)


def run_alternately(measurements: Mapping[str, Measurement]) -> Results:
    """Run all measurements in each round, and return the median of each by messages per second."""
    found: dict[str, list[Figures]] = {name: [] for name in measurements}
    for _ in range(ROUNDS):
        for name, measure in measurements.items():
            found[name].append(measure())
    return {name: sorted(figures, key=lambda one: one.per_second)[ROUNDS // 2] for name, figures in found.items()}


def publishing(testbed: Testbed) -> Results:
    """QoS 1 publishes per second until the last PUBACK; the receiver counts dropped spans."""
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
    """Readings per second from a session in which they wait, each posted to the same echo service."""
    with _echo_service(testbed) as (echo, url):

        def with_echo_cpu(consume: Callable[[Testbed, str], Figures]) -> Figures:
            used = cpu_seconds(echo)
            figures = consume(testbed, url)
            return replace(figures, echo_cpu_seconds=cpu_seconds(echo) - used)

        return run_alternately(
            {
                "baseline": lambda: with_echo_cpu(_consume_baseline),
                "mqtt-trace": lambda: with_echo_cpu(_consume_mqtt_trace),
            }
        )


def http_hop(testbed: Testbed) -> Results:
    """Traced calls per second to the same echo service, over the consumer's HTTP transport and over httpx's own."""
    with _echo_service(testbed) as (_, url):

        def call(transport: str) -> Figures:
            testbed.spans_received()
            figures = testbed.run("http_hop", url, transport, READINGS)
            return replace(figures, dropped=READINGS - testbed.spans_received().get("bench-http-hop", 0))

        return run_alternately({name: partial(call, name) for name in TRANSPORTS})


def echoing(testbed: Testbed) -> Results:
    """Requests per second of the echo service, and its processor time."""
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


@contextmanager
def _echo_service(testbed: Testbed) -> Iterator[tuple[psutil.Process, str]]:
    """Run the echo service during the block, which gets its process and the address for POST."""
    port = free_port()
    url = f"http://{HOST}:{port}"
    env = {"ECHO_HOST": HOST, "ECHO_PORT": str(port)}
    with testbed.service("echo", [script("mqtt-trace-echo")], answers_http(f"{url}/health"), env) as echo:
        yield echo, f"{url}/echo"


def _echo(testbed: Testbed, service: str, command: list[str], port: int, env: Mapping[str, str]) -> Figures:
    url = f"http://{HOST}:{port}"
    testbed.spans_received()
    with testbed.service("echo", command, answers_http(f"{url}/health"), env) as process:
        before = cpu_seconds(process)
        figures = testbed.run("load", f"{url}/echo", LOAD_S)
        used = cpu_seconds(process) - before
    # The baseline makes three spans per request: one of the request, and two of its ASGI messages.
    spans = testbed.spans_received().get(service, 0)
    return replace(figures, cpu_seconds=used, dropped=max(0, figures.count - spans))


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
    used = children_cpu_seconds() - ended - before  # with the last export
    dropped = _SPANS * READINGS - testbed.spans_received().get("mqtt-trace-consumer", 0)
    return Figures(last - first, seconds, used, dropped)


def _wait_for_readings(ready: str, wanted: int) -> int:
    def processed() -> int | None:
        count = int(get_json(ready)["processed"])
        return count if count >= wanted else None

    if count := poll(processed, _DEADLINE_S, _POLL_S):
        return count
    raise TimeoutError(f"the consumer has not processed {wanted} readings within {_DEADLINE_S} s")


def _fill_session(testbed: Testbed, client_id: str) -> None:
    """Publish readings with context into the session of a client that is not connected."""
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
    """The messages per second of `one`, divided by those of `other`."""
    return results[one].per_second / results[other].per_second
