"""`make up`: the chart in a kind cluster, a fleet of sensors, and the first reading's trace as a tree."""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from rich.console import Console

from local.cluster import CHART, KUBECONFIG, ROOT, prepare
from local.commands import CommandError, Helm, Kubectl
from local.connected import STEPS, missing_step
from local.forward import PortForward
from local.ports import free_port_like
from local.processes import ProcessError
from local.report import trace_tree
from local.scout import Scout, Span
from local.terminal import in_terminal

NAMESPACE = "mqtt-trace"
RELEASE = "demo"
FLEET = ROOT / "examples" / "fleet.yaml"

_SCOUT_SIM = f"{RELEASE}-mqtt-trace-scout-sim"
_PORT = 4320
_PATIENCE_S = 120


def main(arguments: Sequence[str]) -> int:
    """Install the chart and show a trace; returns the exit code."""
    argparse.ArgumentParser(prog="make up", description=__doc__).parse_args(arguments)
    stay = in_terminal()
    console = Console(highlight=False) if stay else Console(highlight=False, force_terminal=False, width=140)
    kubectl = Kubectl(KUBECONFIG, NAMESPACE)
    try:
        install(console, kubectl)
        apply_fleet(console, kubectl)
        show(console, kubectl, stay=stay)
    except (CommandError, ProcessError, TimeoutError) as error:
        print(f"up: {error}", file=sys.stderr)
        return 1
    return 0


def install(console: Console, kubectl: Kubectl) -> None:
    """Bring the cluster to the state of the working copy.

    Raises:
        CommandError: a step failed.
    """
    loaded = prepare(console.print)
    helm = Helm(kubectl.kubeconfig, NAMESPACE)
    was_there = RELEASE in helm("list", "--short").split()
    console.print(f"installing the chart as {RELEASE}")
    helm("upgrade", "--install", RELEASE, str(CHART), "--create-namespace", "--wait", "--timeout", "10m")
    if was_there and loaded:  # a new image with the same name restarts no pod
        workloads = ["deployment,statefulset", "--selector", "app.kubernetes.io/part-of=mqtt-trace"]
        kubectl("rollout", "restart", *workloads)
        kubectl("rollout", "status", *workloads, "--timeout=300s")


def apply_fleet(console: Console, kubectl: Kubectl) -> None:
    """Apply the example fleet, which resets its scale, and show it when its sensors are connected.

    Raises:
        CommandError: its sensors were not connected in time.
    """
    console.print(f"applying {FLEET.relative_to(ROOT)}")
    applied = ["--filename", str(FLEET)]
    kubectl("apply", *applied)
    with console.status("waiting for its sensors"):
        kubectl("wait", *applied, "--for=condition=Ready", f"--timeout={_PATIENCE_S}s")
    console.print(kubectl("get", *applied).rstrip())


def show(console: Console, kubectl: Kubectl, *, stay: bool) -> None:
    """Print a connected trace and the address of all traces; in a terminal, keep it open until Ctrl-C.

    Raises:
        TimeoutError: no reading has a connected trace.
    """
    with (
        tempfile.TemporaryDirectory(prefix="mqtt-trace-") as folder,
        forward_scout_sim(kubectl, Path(folder) / "port-forward.log") as forward,
        Scout(forward.url, forward) as scout,
    ):
        with console.status("waiting for a trace"):
            trace_id, spans = first_connected(scout)
        console.print()
        console.print(trace_tree(trace_id, spans, console.width))
        console.print(f"\nfor kubectl and helm: export KUBECONFIG={KUBECONFIG}, namespace {NAMESPACE}")
        console.print(f"more sensors: kubectl -n {NAMESPACE} scale fleet/demo --replicas=250")
        if not stay:
            console.print(f"the trace page: kubectl -n {NAMESPACE} port-forward svc/{_SCOUT_SIM} {_PORT}")
            return
        console.print(f"all traces: {forward.url}/   Ctrl-C ends this page; `make down` removes the cluster")
        try:
            while True:
                with suppress(ProcessError):  # while scout-sim's pod is replaced, there is nothing to forward to
                    forward.ensure()
                time.sleep(1)
        except KeyboardInterrupt:
            console.print("the cluster keeps running")


def forward_scout_sim(kubectl: Kubectl, log: Path) -> PortForward:
    """Use the port of the documentation for scout-sim, unless it is taken."""
    return PortForward(kubectl, _SCOUT_SIM, _PORT, log, local_port=free_port_like(_PORT))


def first_connected(scout: Scout) -> tuple[str, list[Span]]:
    """Wait for a connected trace of a reading and return it.

    One of the four spans alone: a reading that came before the consumer was published again and again.

    Raises:
        TimeoutError: none came.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        for trace_id in scout.trace_ids(service="mqtt-trace-echo", limit=10):
            spans = scout.spans(trace_id)
            if len(spans) == len(STEPS) and missing_step(spans) is None:
                return trace_id, spans
        time.sleep(0.5)
    raise TimeoutError(f"no reading has a connected trace after {_PATIENCE_S} s: see make e2e, or helm test {RELEASE}")
