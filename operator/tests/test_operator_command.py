"""The command without a cluster."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mqtt_trace_operator.children import PodTemplate
from mqtt_trace_operator.settings import OperatorSettings

COMMAND = Path(sys.executable).with_name("mqtt-trace-operator")


def run(tmp_path: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run it with these variables and without access to a cluster."""
    inherited = {name: value for name, value in os.environ.items() if name != "KUBECONFIG"}
    return subprocess.run(
        [COMMAND],
        env={**inherited, "HOME": str(tmp_path), "OTEL_SDK_DISABLED": "true", **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_wrong_setting_is_one_line(tmp_path: Path) -> None:
    """Each wrong variable is one line, and the exit code is 2."""
    done = run(tmp_path, POD_TEMPLATE_FILE=str(tmp_path / "nothing"), HEALTH_PORT="many")
    assert done.returncode == 2
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("mqtt-trace-operator: ") for line in lines)
    assert {line.split(": ")[1] for line in lines} == {"HEALTH_PORT", "POD_TEMPLATE_FILE"}


@pytest.mark.parametrize(
    ("text", "namespaces"), [("", None), ("iot", ("iot",)), ("iot, plant-2,iot", ("iot", "plant-2"))]
)
def test_the_namespaces_of_fleets_are_separated_by_commas(
    text: str, namespaces: tuple[str, ...] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`WATCH_NAMESPACE` lists namespaces; unset or empty it means all."""
    monkeypatch.setenv("WATCH_NAMESPACE", text)
    assert OperatorSettings(pod_template_file=Path(__file__)).watch_namespace == namespaces


@pytest.mark.parametrize("text", [",", "iot,", "iot-*", "!iot", "IoT", "a" * 64])
def test_what_is_no_namespace_is_refused(tmp_path: Path, text: str) -> None:
    """A pattern, or a list with an empty item, is refused: the operator never watches more than it was told to."""
    done = run(tmp_path, POD_TEMPLATE_FILE=__file__, WATCH_NAMESPACE=text)
    assert done.returncode == 2
    assert done.stderr == (
        f"mqtt-trace-operator: WATCH_NAMESPACE: must be names of namespaces, separated by commas (got {text!r})\n"
    )


def test_a_cluster_that_cannot_be_found_is_one_line(tmp_path: Path, template: PodTemplate) -> None:
    """Without a cluster and without KUBECONFIG the command ends with one line and exit code 2."""
    assert template.health_port == 8080
    done = run(tmp_path, POD_TEMPLATE_FILE=str(tmp_path / "pod-template.json"))
    assert done.returncode == 2
    assert done.stderr.startswith("mqtt-trace-operator: KUBECONFIG: gives access to no cluster: ")
    assert len(done.stderr.splitlines()) == 1
