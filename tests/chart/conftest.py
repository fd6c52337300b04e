"""Renders of the chart with the Helm versions that are installed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from charts.generate import CHART
from local.needed import skip_without

Manifest = dict[str, Any]
Render = Callable[..., list[Manifest]]
Refuse = Callable[..., str]

HELMS = ["helm", "helm4"]


@pytest.fixture(params=HELMS)
def helm(request: pytest.FixtureRequest) -> str:
    """Each version of Helm that is on PATH."""
    skip_without(request.param)
    return str(request.param)


def template(
    helm: str, values: tuple[str, ...], *options: str, release: str = "demo", chart: Path = CHART
) -> subprocess.CompletedProcess[str]:
    """`helm template` with values as `path=value`, and other options as Helm has them."""
    given = [part for value in values for part in ("--set", value)]
    return subprocess.run(
        [helm, "template", release, str(chart), "--namespace", "iot", *given, *options],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def render() -> Render:
    """Render the chart, or another, with values such as `consumer.replicas=3`; returns its manifests."""
    skip_without("helm")

    def rendered(
        *values: str, options: tuple[str, ...] = (), release: str = "demo", chart: Path = CHART
    ) -> list[Manifest]:
        done = template("helm", values, *options, release=release, chart=chart)
        assert done.returncode == 0, done.stderr
        return [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]

    return rendered


@pytest.fixture
def refuse(helm: str) -> Refuse:
    """Render the chart with values that it has to refuse; returns what Helm says."""

    def refused(*values: str, options: tuple[str, ...] = (), release: str = "demo") -> str:
        done = template(helm, values, *options, release=release)
        assert done.returncode != 0, f"{release} with {values} {options} was accepted"
        return done.stderr

    return refused


@pytest.fixture(scope="session")
def chart_with_notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the chart with its notes in a manifest of the kind `Notes`: `helm template` leaves them out."""
    chart = tmp_path_factory.mktemp("chart") / CHART.name
    shutil.copytree(CHART, chart)
    text = (chart / "templates" / "NOTES.txt").rename(chart / "notes")
    (chart / "templates" / "notes.yaml").write_text(
        "apiVersion: v1\nkind: Notes\nmetadata: { name: notes }\n"
        f'text: {{{{ tpl (.Files.Get "{text.name}") . | toJson }}}}\n'
    )
    return chart
