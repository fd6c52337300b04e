"""Names of releases, namespaces and Secrets that look like something else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.chart.conftest import Refuse, Render


def names(part: Any) -> Iterator[Any]:
    """Whatever a manifest calls or labels something by, at any depth."""
    if isinstance(part, list):
        for item in part:
            yield from names(item)
    elif isinstance(part, dict):
        for key, value in part.items():
            if key in ("name", "namespace", "secretName", "storageClassName") and not isinstance(value, dict):
                yield value
            elif key in ("labels", "matchLabels"):
                yield from value.values()
            yield from names(value)


@pytest.mark.parametrize("name", ["123", "true", "1e3", "y"])
@pytest.mark.parametrize(
    "values",
    [
        ["auth.existingSecret", "scout.existingSecret", "broker.tls.existingSecret", "broker.persistence.storageClass"],
        ["broker.external.host", "broker.external.existingSecret", "broker.external.caSecret", "nameOverride"],
    ],
)
def test_a_name_is_text_whatever_it_looks_like(render: Render, name: str, values: list[str]) -> None:
    """Kubernetes refuses a number or a truth value where it wants a name."""
    given = [part for value in values for part in ("--set-string", f"{value}={name}")]
    manifests = render(
        "fullnameOverride=demo",
        "broker.external.tls=true" if "broker.external.host" in values else "broker.tls.enabled=true",
        options=(*given, "--namespace", name),
        release=name,
    )
    found = list(names(manifests))
    assert name in found
    assert [value for value in found if not isinstance(value, str)] == []


@pytest.mark.parametrize("release", ["1demo", "demo.v1"])
def test_a_release_whose_services_could_not_be_called_after_it_is_refused(refuse: Refuse, release: str) -> None:
    """Before half of it is installed, and with the way out."""
    name = f"{release}-mqtt-trace"
    complaint = (
        f"{name} is not a valid Service name: set fullnameOverride to a name of lower-case letters, "
        "digits and hyphens that begins with a letter."
    )
    assert refuse(release=release).splitlines()[0].endswith(complaint)


def test_another_name_is_the_way_out(render: Render) -> None:
    """With `fullnameOverride` Helm's name of the release stays, and the objects have that one."""
    manifests = render("fullnameOverride=demo", "crds.enabled=false", release="1demo.v1")
    assert all(manifest["metadata"]["name"].startswith("demo-") for manifest in manifests)
