"""The command without a cluster."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from mqtt_trace_operator.children import PodTemplate

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


def test_a_cluster_that_cannot_be_found_is_one_line(tmp_path: Path, template: PodTemplate) -> None:
    """Without a cluster and without KUBECONFIG the command ends with one line and exit code 2."""
    assert template.health_port == 8080
    done = run(tmp_path, POD_TEMPLATE_FILE=str(tmp_path / "pod-template.json"))
    assert done.returncode == 2
    assert done.stderr.startswith("mqtt-trace-operator: KUBECONFIG: gives access to no cluster: ")
    assert len(done.stderr.splitlines()) == 1
