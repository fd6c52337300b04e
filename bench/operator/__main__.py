"""Measure fleets and their operator in the cluster of `make up`, and write docs/operator-performance.md.

Usage: python -m bench.operator [--help]
"""

import sys

if __name__ == "__main__":  # before the imports, which Ctrl-C would end with a traceback
    from local.interrupts import run

    sys.exit(run("bench.fleets"))

import argparse
import json
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markdown import Markdown

from bench.operator.page import Calls, Rescale, make_page
from local.cluster import CHART, KUBECONFIG, prepare
from local.commands import CommandError, Helm, Kubectl
from local.forward import PortForward
from local.scout import Scout

PAGE = Path(__file__).parents[2] / "docs" / "operator-performance.md"
NAMESPACE = "mqtt-trace-bench"
RELEASE = "bench"
RESCALES = ((10, 2), (100, 2), (1000, 10))
"""Sensors, and the seconds between two readings of each: one consumer has to keep up with all of them."""
FLEETS = (1, 10)

_PATIENCE_S = 600
_SETTLED_S = 15.0
"""Longer than the longest pause between two looks at a fleet whose pods are on their way."""
_SENSOR = re.compile(r"publish sensors/(?P<sensor>[^/]+)/reading")
_ROOT = "/api/v1/namespaces/{namespace}/pods/{pod}:8080/proxy/ready"


def main() -> int:
    """Measure everything in a release of its own, which goes at the end; returns the exit code."""
    argparse.ArgumentParser(prog="make bench-operator", description=main.__doc__).parse_args()
    console = Console()
    try:
        prepare(console.print)
        with installed(console.print) as bench:
            page = make_page(
                {fleets: bench.memory_mib(fleets) for fleets in FLEETS},
                bench.calls(),
                [bench.rescale(*wanted) for wanted in RESCALES],
                bench.kubectl.json("version")["serverVersion"]["gitVersion"],
            )
    except (CommandError, TimeoutError) as error:
        print(f"bench-operator: {error}", file=sys.stderr)
        return 1
    PAGE.write_text(page, encoding="utf-8")
    console.print(Markdown(page))
    return 0


class Bench:
    """A release of the chart that is measured.

    Args:
        kubectl: kubectl in its namespace.
        scout: The query API of its scout-sim.
        say: Told what is measured.
    """

    def __init__(self, kubectl: Kubectl, scout: Scout, say: Callable[[str], object]) -> None:
        self.kubectl = kubectl
        self._scout = scout
        self._say = say

    def rescale(self, sensors: int, interval_s: int) -> Rescale:
        """Scale a fleet of one sensor."""
        self._say(f"measuring: from one sensor to {sensors}")
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

    def calls(self) -> list[Calls]:
        """Count requests for what happens to a fleet in its life."""
        self._say("measuring: requests to the API server")
        name = "counted"
        changes: dict[str, Callable[[], object]] = {
            "nothing (an annotation of somebody else's)": lambda: self.kubectl(
                "annotate", f"fleet/{name}", "--overwrite", f"example.com/looked-at={time.time()}"
            ),
            "10 more sensors on a running pod": lambda: self.kubectl("scale", f"fleet/{name}", "--replicas=11"),
            "another interval": lambda: self._patch(name, {"interval": "3s"}),
        }
        counted = []
        with self.fleet(name, sensorsPerPod=1000):
            for change, make in changes.items():
                before = self._settled_counts()
                changed = time.monotonic()
                make()
                after = self._settled_counts(since=changed)
                counted.append(Calls(change, after["reads"] - before["reads"], after["writes"] - before["writes"]))
        return counted

    def memory_mib(self, fleets: int) -> float:
        """Resident memory of the operator with so many fleets of ten sensors, in MiB."""
        self._say(f"measuring: memory at {fleets} fleets")
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
        """A fleet of one sensor that is connected."""
        self._apply(name, 1, **spec)
        self.wait_ready(name, 1)
        yield
        self.kubectl("delete", f"fleet/{name}", "--wait")

    def wait_ready(self, name: str, sensors: int) -> None:
        """Wait until a fleet says that so many sensors are connected."""

        def ready() -> bool:
            fleet = self.kubectl.json("get", "fleet", name)
            status = fleet.get("status", {})
            return bool(
                status.get("observedGeneration") == fleet["metadata"]["generation"]
                and status.get("replicas") == status.get("readyReplicas") == sensors
            )

        wait(ready, f"{sensors} sensors of {name} are connected", every_s=0.2)

    def _apply(self, name: str, replicas: int, **spec: object) -> None:
        # Ten pods have to fit into a small node.
        resources = {"requests": {"cpu": "10m", "memory": "64Mi"}}
        manifest = {
            "apiVersion": "mqtt-trace.io/v1alpha1",
            "kind": "SensorFleet",
            "metadata": {"name": name},
            "spec": {"replicas": replicas, "resources": resources, **spec},
        }
        self.kubectl("apply", "--filename", "-", stdin=json.dumps(manifest))

    def _patch(self, name: str, spec: Mapping[str, object]) -> None:
        self.kubectl("patch", "fleet", name, "--type=merge", "--patch", json.dumps({"spec": spec}))

    def _first_processed(self, fleet: str, since: float) -> dict[str, float]:
        """When the first reading of each sensor had gone through echo, by sensor, in epoch seconds."""
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
        """The operator's counts once it has reconciled after that moment and has nothing to do any more."""

        def settled() -> bool:
            counts.update(self._counts())
            idle: float = counts["last_reconcile_s"]
            return _SETTLED_S < idle < time.monotonic() - since

        counts: dict[str, Any] = {}
        wait(settled, "the operator has nothing to do")
        return counts

    def _counts(self) -> dict[str, Any]:
        path = _ROOT.format(namespace=NAMESPACE, pod=self._operator().removeprefix("pod/"))
        counts: dict[str, Any] = json.loads(self.kubectl("get", "--raw", path))
        return counts

    def _operator(self) -> str:
        selector = f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component=operator"
        return self.kubectl("get", "pods", "--selector", selector, "--output=name").strip()


@contextmanager
def installed(say: Callable[[str], object]) -> Iterator[Bench]:
    """A release with scout-sim, without a sensor of its own."""
    kubectl = Kubectl(KUBECONFIG, NAMESPACE)
    helm = Helm(KUBECONFIG, NAMESPACE)
    say(f"installing the chart as {RELEASE} in namespace {NAMESPACE}")
    kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait")
    values = ["--set", "producer.enabled=false"]
    helm("install", RELEASE, str(CHART), "--create-namespace", *values, "--wait", "--timeout", "10m")
    try:
        with (
            tempfile.TemporaryDirectory(prefix="bench-") as folder,
            PortForward(kubectl, f"{RELEASE}-mqtt-trace-scout-sim", 4320, Path(folder) / "port-forward.log") as forward,
            Scout(forward.url, forward) as scout,
        ):
            yield Bench(kubectl, scout, say)
    finally:
        kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def wait(condition: Callable[[], Any], what: str, every_s: float = 1.0) -> Any:
    """Return what the condition returns, once that is true.

    Raises:
        TimeoutError: It does not come true.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {_PATIENCE_S} s: {what}")
        time.sleep(every_s)
    return result
