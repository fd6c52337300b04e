"""A reader of the documentation, who copies its code blocks into a shell."""

from collections.abc import Mapping
from pathlib import Path

from local import commands
from local.cluster import ROOT
from local.commands import Kubectl

PLACE = "in the cluster"
"""The title of the blocks that are for a cluster."""


def environment(kubectl: Kubectl, folder: Path) -> dict[str, str]:
    """Return the environment of a reader whose kubectl and helm speak to the namespace; the folder gets a file."""
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(kubectl("config", "view", "--raw", "--minify"))
    env = {"KUBECONFIG": str(kubeconfig), "HELM_NAMESPACE": kubectl.namespace}
    commands.run("kubectl", "config", "set-context", "--current", f"--namespace={kubectl.namespace}", env=env)
    return env


def run(code: str, env: Mapping[str, str]) -> str:
    """Run a block as printed, and return its standard output."""
    return commands.run("bash", "-c", f"set -euo pipefail\n{code}", cwd=ROOT, env=env)
