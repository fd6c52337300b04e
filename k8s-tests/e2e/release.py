"""An installed chart: its pods, their logs, and its telemetry in the backend."""

import json
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import httpx
import yaml

from local import waiting
from local.cluster import CHART
from local.commands import CommandError, Helm, Kubectl
from local.golden import Json
from local.scout import Scout

VERSION: str = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
VALUES = Path(__file__).parents[1] / "values.yaml"

_PUBLISHED = re.compile(r"published reading .*: message (?P<message_id>\S+), trace (?P<trace_id>\S+)$")

T = TypeVar("T")


def until(condition: Callable[[], T | None], what: str, seconds: float) -> T:
    """Return the condition's result as soon as it is true; polled less often than in tests on one machine.

    Raises:
        AssertionError: the time is over; the message names `what`.
    """
    return waiting.until(condition, what, seconds, every_s=0.5)


def none_left(remaining: Callable[[], Collection[str]], what: str, seconds: float) -> None:
    """Wait until nothing remains.

    Raises:
        AssertionError: the time is over; the message says of what something remains, and names some of it.
    """
    last: list[str] = []

    def empty() -> bool:
        last[:] = sorted(remaining())
        return not last

    try:
        until(empty, what, seconds)
    except AssertionError as error:
        raise AssertionError(f"{error}: {len(last)} are missing, such as {', '.join(last[:5])}") from None


def now() -> datetime:
    """Return a moment that `since` arguments understand."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Published:
    """The producer's log record of an acknowledged reading."""

    message_id: str
    trace_id: str


@dataclass(frozen=True)
class Release:
    """A release of the chart.

    Attributes:
        name: Its name.
        helm: Helm in its namespace.
        kubectl: kubectl in its namespace.
        options: What every upgrade of it is given.
    """

    name: str
    helm: Helm
    kubectl: Kubectl
    options: tuple[str, ...] = ()

    def object(self, component: str) -> str:
        """Return the name of a component's objects."""
        return f"{self.name}-mqtt-trace-{component}"

    def apply(self, *values: str) -> None:
        """Install or upgrade it with values as `path=value` over those of the tests, and wait until all is ready."""
        given = [part for value in values for part in ("--set", value)]
        fixed = ["--values", str(VALUES), *self.options]
        self.helm("upgrade", "--install", self.name, str(CHART), *fixed, *given, "--wait", "--timeout", "10m")

    def roll_out(self, workload: str) -> None:
        """Wait until a workload such as `statefulset/demo-mqtt-trace-consumer` is ready again."""
        self.kubectl("rollout", "status", workload, "--timeout=300s", timeout_s=320)

    def delete_pod(self, component: str) -> None:
        """Delete a component's pods as a drain does, and wait until they are gone."""
        self.kubectl("delete", "pod", "--selector", self.selector(component), "--wait", timeout_s=180)

    def scale(self, workload: str, replicas: int) -> None:
        """Scale, and wait until exactly this number of replicas is ready."""
        self.kubectl("scale", workload, f"--replicas={replicas}")
        self.roll_out(workload)
        component = workload.partition("-mqtt-trace-")[2]
        until(lambda: len(self.pods(component)) == replicas, f"{workload} has {replicas} pods", 120)

    def failing_test(self) -> str:
        """Run `helm test`, which must fail, and return its pod's log.

        Raises:
            AssertionError: it passes.
        """
        try:
            self.helm("test", self.name, "--timeout", "3m")
        except CommandError:
            return self.kubectl("logs", self.object("test"))
        raise AssertionError("helm test passed")

    def pods(self, component: str) -> list[Any]:
        """Return a component's pods as the API server has them."""
        pods: list[Any] = self.kubectl.json("get", "pods", "--selector", self.selector(component))["items"]
        return pods

    def selector(self, component: str) -> str:
        """Return the labels of a component's pods."""
        return f"app.kubernetes.io/instance={self.name},app.kubernetes.io/component={component}"

    def log(self, component: str, since: datetime | None = None) -> str:
        """Return the logs of a component's existing pods since a moment."""
        from_then = [f"--since-time={since.isoformat()}"] if since else []
        return self.kubectl("logs", "--selector", self.selector(component), "--tail=-1", *from_then)

    def published(self, since: datetime) -> list[Published]:
        """Return the readings that the producer logged since a moment."""
        entries = [json.loads(line) for line in self.log("producer", since).splitlines()]
        # Kubernetes begins with the whole second.
        recent = [entry for entry in entries if datetime.fromisoformat(entry["timestamp"]) >= since]
        return [Published(**match.groupdict()) for entry in recent if (match := _PUBLISHED.search(entry["message"]))]

    def published_next(self, count: int, since: datetime) -> list[Published]:
        """Wait until this number of readings was published after a moment, and return them."""
        return until(
            lambda: readings if len(readings := self.published(since)) >= count else [],
            f"the producer publishes {count} readings",
            120,
        )[:count]


def spans_of(scout: Scout, trace_id: str) -> list[Json]:
    """Return scout-sim's spans of a trace; none if it does not know the trace."""
    try:
        spans: list[Json] = scout.get(f"/api/traces/{trace_id}")["spans"]
    except httpx.HTTPStatusError as error:
        if error.response.status_code != httpx.codes.NOT_FOUND:
            raise
        return []
    return spans


def logs_of(scout: Scout, trace_id: str) -> list[Json]:
    """Return the log records that were written within a trace."""
    logs: list[Json] = scout.get("/api/logs", trace_id=trace_id)["logs"]
    return logs


def values_of(spans: Sequence[Json], part: str, key: str) -> set[Any]:
    """Return the values of a key of the spans' attributes or resources."""
    return {span[part].get(key) for span in spans}
