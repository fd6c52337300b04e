"""Saves pods, events, logs and traces of a failed test."""

import json
from collections.abc import Callable
from pathlib import Path

import httpx

from e2e.release import Release
from local.commands import CommandError
from local.scout import Scout


def keep(release: Release, scout: Scout | None, folder: Path) -> None:
    """Write the state of the cluster into a folder; a failed query is recorded with its error."""
    kubectl = release.kubectl
    folder.mkdir(parents=True)
    _write(folder / "pods.txt", lambda: kubectl("get", "pods", "--output", "wide"))
    _write(folder / "describe.txt", lambda: kubectl("describe", "pods"))
    _write(folder / "events.txt", lambda: kubectl("get", "events", "--sort-by=.lastTimestamp"))
    if scout is not None:
        _write(folder / "traces.json", lambda: json.dumps(scout.get("/api/traces", limit=100_000), indent=1))
    for pod in _pods(release):
        _write(folder / f"{pod}.log", lambda pod=pod: kubectl("logs", pod, "--all-containers"))  # type: ignore[misc] # mypy does not infer a lambda with a default
        _write(
            folder / f"{pod}.previous.log",
            lambda pod=pod: kubectl("logs", pod, "--all-containers", "--previous"),  # type: ignore[misc] # as above
        )


def _pods(release: Release) -> list[str]:
    try:
        return [name.removeprefix("pod/") for name in release.kubectl("get", "pods", "--output", "name").split()]
    except CommandError:
        return []


def _write(path: Path, content: Callable[[], str]) -> None:
    try:
        path.write_text(content())
    except (CommandError, httpx.HTTPError, RuntimeError) as error:
        if not path.name.endswith(".previous.log"):  # most pods have not been restarted
            path.write_text(f"{error}\n")
