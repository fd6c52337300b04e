"""When a pod is annotated so that kubelet refreshes its volumes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from lightkube.resources.core_v1 import Pod
from mqtt_trace_operator.refresh import refresh_annotation

MakePod = Callable[..., Pod]

NOW = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)
SECONDS = int(NOW.timestamp())


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (None, f"8/{SECONDS}"),
        (f"7/{SECONDS}", f"8/{SECONDS}"),
        ("8", f"8/{SECONDS}"),
        (f"8/{SECONDS - 4}", None),
        (f"8/{SECONDS - 5}", f"8/{SECONDS}"),
    ],
)
def test_a_pod_is_annotated_until_it_uses_the_fleet_file(
    make_pod: MakePod, annotation: str | None, value: str | None
) -> None:
    """A pod is annotated for each version of the fleet file, and again after five seconds."""
    annotations = {"mqtt-trace.io/fleet-generation": annotation} if annotation is not None else {}
    assert refresh_annotation(make_pod(annotations=annotations), "8", NOW) == value
