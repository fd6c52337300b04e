"""Measure fleets and their operator in the cluster of `make up`, and write docs/operator-performance.md.

Usage: python -m bench.operator [--help]
"""

import sys

if __name__ == "__main__":  # before the imports, which Ctrl-C would end with a traceback
    from local.interrupts import run

    sys.exit(run("bench.operator.__main__"))

import argparse
import json
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.markdown import Markdown

from bench.operator.page import Requests, Rescale, make_page
from local.cluster import CHART, KUBECONFIG, prepare
from local.commands import CommandError, Helm, Kubectl
from local.forward import PortForward
from local.scout import Scout
from local.waiting import poll

T = TypeVar("T")

PAGE = Path(__file__).parents[2] / "docs" / "operator-performance.md"
NAMESPACE = "mqtt-trace-bench"
RELEASE = "bench"
RESCALES = ((10, 2), (100, 2), (1000, 10))
"""Numbers of sensors, and seconds between two readings of a sensor, such that one consumer keeps up."""
FLEETS = (1, 10)
_COUNTED = "counted"
CHANGES = {
    "none, only an annotation": ("annotate", f"fleet/{_COUNTED}", "example.com/note=changed"),
    "10 more sensors on a running pod": ("scale", f"fleet/{_COUNTED}", "--replicas=11"),
    "a new interval": ("patch", f"fleet/{_COUNTED}", "--type=merge", '--patch={"spec": {"interval": "3s"}}'),
}
"""Changes of a fleet, and the arguments of kubectl that make them."""

_DEADLINE_S = 600
_SETTLED_S = 15.0
"""Longer than the operator's longest pause between two reconciles of a fleet whose pods are not ready."""
_SENSOR = re.compile(r"publish sensors/(?P<sensor>[^/]+)/reading")
_ROOT = "/api/v1/namespaces/{namespace}/pods/{pod}:8080/proxy/ready"


def main() -> int:
    """Measure fleets in a release of its own and write docs/operator-performance.md; takes minutes."""
    argparse.ArgumentParser(prog="make bench-operator", description=main.__doc__).parse_args()
    console = Console()
    try:
        prepare(console.print)
        with install_release(console.print) as bench:
            page = make_page(
                {fleets: bench.measure_memory(fleets) for fleets in FLEETS},
                bench.count_requests(),
                [bench.measure_rescale(*rescale) for rescale in RESCALES],
                bench.kubectl.json("version")["serverVersion"]["gitVersion"],
            )
    except (CommandError, TimeoutError) as error:
        print(f"bench-operator: {error}", file=sys.stderr)
        return 1
    PAGE.write_text(page, encoding="utf-8")
    console.print(Markdown(page))
    return 0


class Bench:
    """A release of the chart whose fleets are measured.

    Args:
        kubectl: kubectl in its namespace.
        scout: The query API of its scout-sim.
        report: Called with a line before each measurement.
    """

    def __init__(self, kubectl: Kubectl, scout: Scout, report: Callable[[str], object]) -> None:
        self.kubectl = kubectl
        self._scout = scout
        self._report = report

    def measure_rescale(self, sensors: int, interval_s: int) -> Rescale:
        """Measure the scaling of a fleet of one sensor to `sensors`."""
        self._report(f"measuring: from one sensor to {sensors}")
        name = f"scaled-{sensors}"
        with self.fleet(name, interval=f"{interval_s}s", sensorsPerPod=1000):
            began = time.time()
            self.kubectl("scale", f"fleet/{name}", f"--replicas={sensors}")
            self.wait_ready(name, sensors)
            connected = time.time()
            new = {f"{NAMESPACE}.{name}-{number:05d}" for number in range(1, sensors)}
            first: dict[str, float] = {}

            def all_processed() -> bool:
                first.update(self._first_processed(name, began))
                return new <= first.keys()

            wait(all_processed, f"readings of {sensors} sensors are processed")
            processed = max(first[sensor] for sensor in new)
            return Rescale(sensors, interval_s, connected - began, processed - began)

    def count_requests(self) -> list[Requests]:
        """Count the requests that each change of a fleet causes."""
        self._report("measuring: requests to the API server")
        counted = []
        with self.fleet(_COUNTED, sensorsPerPod=1000):
            for change, arguments in CHANGES.items():
                before = self._settled_counts()
                changed = time.monotonic()
                self.kubectl(*arguments)
                after = self._settled_counts(since=changed)
                counted.append(Requests(change, after["reads"] - before["reads"], after["writes"] - before["writes"]))
        return counted

    def measure_memory(self, fleets: int) -> float:
        """Resident memory of the operator with a number of fleets of ten sensors, in MiB."""
        self._report(f"measuring: memory at {fleets} fleets")
        names = [f"memory-{number}" for number in range(fleets)]
        for name in names:
            self._apply(name, 10)
        for name in names:
            self.wait_ready(name, 10)
        status = self.kubectl("exec", self._operator(), "--", "cat", "/proc/1/status")
        match = re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
        for name in names:
            self.kubectl("delete", f"fleet/{name}", "--wait")
        if match is None:
            raise CommandError("the operator's memory cannot be read")
        return int(match[1]) / 1024

    @contextmanager
    def fleet(self, name: str, **spec: object) -> Iterator[None]:
        """Run a fleet of one connected sensor during the block."""
        self._apply(name, 1, **spec)
        self.wait_ready(name, 1)
        yield
        self.kubectl("delete", f"fleet/{name}", "--wait")

    def wait_ready(self, name: str, sensors: int) -> None:
        """Wait until the fleet's status has the given number of connected sensors."""

        def ready() -> bool:
            fleet = self.kubectl.json("get", "fleet", name)
            status = fleet.get("status", {})
            return bool(
                status.get("observedGeneration") == fleet["metadata"]["generation"]
                and status.get("replicas") == status.get("readyReplicas") == sensors
            )

        wait(ready, f"{sensors} sensors of {name} are connected", every_s=0.2)

    def _apply(self, name: str, replicas: int, **spec: object) -> None:
        # Ten pods must fit on a small node.
        resources = {"requests": {"cpu": "10m", "memory": "64Mi"}}
        manifest = {
            "apiVersion": "mqtt-trace.io/v1alpha1",
            "kind": "SensorFleet",
            "metadata": {"name": name},
            "spec": {"replicas": replicas, "resources": resources, **spec},
        }
        self.kubectl("apply", "--filename", "-", stdin=json.dumps(manifest))

    def _first_processed(self, fleet: str, since: float) -> dict[str, float]:
        """The time at which echo answered the first reading of each sensor, in epoch seconds, by sensor."""
        found = self._scout.get(
            "/api/traces",
            attribute=f"fleet.id={fleet}",
            service="mqtt-trace-echo",
            since=str(since),
            limit=100_000,
        )["traces"]
        first: dict[str, float] = {}
        for trace in found:
            if match := _SENSOR.fullmatch(trace["root_name"]):
                ended = trace["start"] + trace["duration_ms"] / 1e3
                first[match["sensor"]] = min(ended, first.get(match["sensor"], ended))
        return first

    def _settled_counts(self, since: float = 0.0) -> dict[str, Any]:
        """The operator's counts, once it is idle after a reconcile that is later than `since`."""

        def settled() -> bool:
            counts.update(self._counts())
            idle: float = counts["last_reconcile_s"]
            return _SETTLED_S < idle < time.monotonic() - since

        counts: dict[str, Any] = {}
        wait(settled, "the operator is idle")
        return counts

    def _counts(self) -> dict[str, Any]:
        path = _ROOT.format(namespace=NAMESPACE, pod=self._operator().removeprefix("pod/"))
        counts: dict[str, Any] = json.loads(self.kubectl("get", "--raw", path))
        return counts

    def _operator(self) -> str:
        selector = f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component=operator"
        return self.kubectl("get", "pods", "--selector", selector, "--output=name").strip()


@contextmanager
def install_release(report: Callable[[str], object]) -> Iterator[Bench]:
    """Install a release with scout-sim and without a sensor; it is removed at the end of the block."""
    kubectl = Kubectl(KUBECONFIG, NAMESPACE)
    helm = Helm(KUBECONFIG, NAMESPACE)
    report(f"installing the chart as {RELEASE} in namespace {NAMESPACE}")
    kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait")
    values = ["--set", "producer.enabled=false"]
    helm("install", RELEASE, str(CHART), "--create-namespace", *values, "--wait", "--timeout", "10m")
    try:
        with (
            tempfile.TemporaryDirectory(prefix="bench-") as folder,
            PortForward(kubectl, f"{RELEASE}-mqtt-trace-scout-sim", 4320, Path(folder) / "port-forward.log") as forward,
            Scout(forward.url, forward) as scout,
        ):
            yield Bench(kubectl, scout, report)
    finally:
        kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def wait(condition: Callable[[], T], what: str, every_s: float = 1.0) -> T:
    """Return the result of the condition, once it is true.

    Raises:
        TimeoutError: It is not true before the deadline.
    """
    if result := poll(condition, _DEADLINE_S, every_s):
        return result
    raise TimeoutError(f"not within {_DEADLINE_S} s: {what}")
