"""A real API server accepts the chart's manifests."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from charts.generate import EXAMPLES, rendered
from local.commands import Kubectl

NAMESPACE = "mqtt-trace-e2e-renders"


@pytest.fixture(scope="module")
def kubectl(make_namespace: Callable[[str], Kubectl]) -> Kubectl:
    """A namespace that also warns about workloads whose pods the Pod Security Standard would refuse."""
    kubectl = make_namespace(NAMESPACE)
    kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/warn=restricted")
    # A dry run creates no service account, without which the pod of `helm test` is refused.
    kubectl("create", "serviceaccount", "demo-mqtt-trace-test")
    return kubectl


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_the_server_takes_every_golden_render(kubectl: Kubectl, example: Path) -> None:
    """A dry run of the manifests gives no warning, neither about unknown fields nor about unrestricted pods."""
    # The Prometheus Operator's objects need its CRDs, and are installed for real elsewhere.
    templates = [text for name, text in rendered(example).items() if not name.startswith("monitoring/p")]
    golden = re.sub(r'namespace: "?iot"?\n', f"namespace: {NAMESPACE}\n", "".join(templates))
    taken = kubectl(
        "--warnings-as-errors",
        "apply",
        "--server-side",
        "--dry-run=server",
        "--force-conflicts",
        "--filename",
        "-",
        stdin=golden,
    )
    assert taken.count("serverside-applied (server dry run)") == golden.count("\nkind: ")
