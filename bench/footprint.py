"""The footprint of running services: memory by devices and by readings, processor time per reading."""

import time
from dataclasses import dataclass

import psutil

from bench.comparisons import script
from bench.testbed import Testbed, cpu_seconds, get_json
from local.ports import HOST, free_port
from local.processes import answers_http
from local.services import Service
from local.stack import Stack

DEVICES = (1, 500, 2_000)
STACK_DEVICES = 200
STACK_SECONDS = 20
_MIB = 2**20


@dataclass(frozen=True)
class Memory:
    """Resident memory of a producer, in MiB, after a number of published readings."""

    devices: int
    readings: int
    mib: float


def memory_by_devices(testbed: Testbed) -> list[Memory]:
    """Measure a producer per number of devices, after two acknowledged readings per device on average."""
    return [_memory(testbed, devices, interval_s=2, readings=[devices * 2])[0] for devices in DEVICES]


def memory_by_readings(testbed: Testbed) -> list[Memory]:
    """Measure one producer after more and more readings, which would show a leak."""
    return _memory(testbed, 20, interval_s=0.02, readings=[5_000, 10_000, 15_000, 20_000])


def cpu_by_service() -> dict[str, float]:
    """Microseconds of processor time per reading, by service of the running stack."""
    with Stack(devices=STACK_DEVICES, interval_s=1) as stack:
        services = {name: stack.parts[name] for name in ("producer", "consumer", "echo")}
        processes = {name: psutil.Process(part.pid) for name, part in services.items() if isinstance(part, Service)}
        before = {name: cpu_seconds(process) for name, process in processes.items()}
        first = _published(stack.producer_url)
        time.sleep(STACK_SECONDS)
        readings = _published(stack.producer_url) - first
        return {name: (cpu_seconds(p) - before[name]) / readings * 1e6 for name, p in processes.items()}


def _memory(testbed: Testbed, devices: int, *, interval_s: float, readings: list[int]) -> list[Memory]:
    port = free_port()
    env = {
        "MQTT_BROKER_HOST": testbed.broker.host,
        "MQTT_BROKER_PORT": str(testbed.broker.port),
        "HEALTH_HOST": HOST,
        "HEALTH_PORT": str(port),
        "DEVICE_COUNT": str(devices),
        "PUBLISH_INTERVAL_S": str(interval_s),
        "PUBLISH_RETRY_S": "0",  # nobody is subscribed
    }
    ready = f"http://{HOST}:{port}/ready"
    with testbed.service("producer", [script("mqtt-trace-producer")], answers_http(ready), env) as process:
        return [_measure_at(process, ready, devices, wanted) for wanted in readings]


def _measure_at(process: psutil.Process, ready: str, devices: int, wanted: int) -> Memory:
    while (published := _published(ready)) < wanted:
        time.sleep(0.1)
    return Memory(devices, published, process.memory_info().rss / _MIB)


def _published(ready: str) -> int:
    return int(get_json(ready)["published"])
