"""An umbrella chart that depends on the chart twice, installed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.release import VERSION
from local.cluster import CHART
from local.commands import Helm, Kubectl

NAMESPACE = "mqtt-trace-e2e-umbrella"
ALIASES = ("east", "west")
COMPONENTS = ("broker", "collector", "scoutSim", "producer", "consumer", "echo", "operator")
LITTLE = {"requests": {"cpu": "1m", "memory": "64Mi"}}  # both run next to the other releases on one small node


@pytest.fixture
def umbrella(tmp_path: Path) -> Path:
    """A chart with the chart under two aliases, of which the second has no operator."""
    common = {name: {"resources": LITTLE} for name in COMPONENTS}
    values: dict[str, Any] = {alias: {"enabled": True, **common} for alias in ALIASES}
    values["west"]["operator"] = {"enabled": False}
    values["global"] = {"ofSibling": {"a": "b"}}
    (tmp_path / "charts").mkdir()
    (tmp_path / "charts" / CHART.name).symlink_to(CHART)
    dependencies = [
        {"name": CHART.name, "version": VERSION, "alias": alias, "condition": f"{alias}.enabled"} for alias in ALIASES
    ]
    chart = {"apiVersion": "v2", "name": "umbrella", "version": "0.1.0", "dependencies": dependencies}
    (tmp_path / "Chart.yaml").write_text(yaml.safe_dump(chart))
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(values))
    return tmp_path


def test_two_of_the_chart_work_next_to_each_other(
    umbrella: Path, make_namespace: Callable[[str], Kubectl], options: tuple[str, ...]
) -> None:
    """Both become ready in one namespace, and in each a reading gets to its end by way of its own broker."""
    kubectl = make_namespace(NAMESPACE)
    helm = Helm(kubectl.kubeconfig, NAMESPACE)
    helm("install", "demo", str(umbrella), *options, "--wait", "--timeout", "10m")
    assert helm("test", "demo", "--timeout", "3m").count("Phase:          Succeeded") == len(ALIASES)
    for alias in ALIASES:
        assert f"demo-{alias}-mosquitto:1883" in kubectl("logs", f"demo-{alias}-test")
    helm("uninstall", "demo", "--wait", "--timeout", "3m")
    kubectl("delete", "namespace", NAMESPACE, "--wait=false")
