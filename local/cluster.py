"""A kind cluster that has the chart's images."""

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from local.commands import CommandError, Kubectl, need, run

# A cluster of another family is another cluster: kind cannot change it.
IP_FAMILY = os.environ.get("KIND_IP_FAMILY")
NAME = f"mqtt-trace-{IP_FAMILY}" if IP_FAMILY else "mqtt-trace"
ROOT = Path(__file__).parents[1]
CHART = ROOT / "charts" / "mqtt-trace"

# Not the user's own: a test run must not change the cluster of the user's kubectl.
KUBECONFIG = ROOT / ".tools" / "kubeconfig"

Say = Callable[[str], object]

_NODE = f"{NAME}-control-plane"

# A file on the node with the loaded images and their ids: `kind load` alone would copy all images each time.
_LOADED = "/kind/mqtt-trace-images"


def prepare(say: Say) -> list[str]:
    """Create the cluster unless it exists, build the images, and load those that the cluster does not have.

    Returns:
        The images that were loaded.

    Raises:
        CommandError: a command is missing or failed.
    """
    need("docker", "kind", "kubectl", "helm")
    _create(say)
    build_images()
    return load(chart_images(), say)


def build_images() -> None:
    """Run `make images`, which prints its own progress.

    Raises:
        CommandError: an image was not built.
    """
    if subprocess.run([ROOT / "local" / "images"], check=False).returncode:
        raise CommandError("the images were not built")


def chart_images() -> list[str]:
    """Return the images of the chart's pods with default values, and of broker-metrics.

    Raises:
        CommandError: the chart does not render.
    """
    manifests = run("helm", "template", "demo", str(CHART), "--set", "brokerMetrics.enabled=true")
    return sorted(set(re.findall(r'^\s+image: "?([^\s"]+)', manifests, re.MULTILINE)))


def load(images: Iterable[str], say: Say) -> list[str]:
    """Load images from Docker that the cluster does not have; the node pulls those that Docker does not have.

    Returns:
        The images that were loaded.

    Raises:
        CommandError: they were not loaded.
    """
    known = run("docker", "exec", _NODE, "sh", "-c", f"touch {_LOADED}; cat {_LOADED}").splitlines()
    wanted = {image: f"{image} {image_id}" for image in images if (image_id := _docker_id(image))}
    missing = [image for image, line in wanted.items() if line not in known]
    if missing:
        say(f"loading {', '.join(missing)}")
        run("kind", "load", "docker-image", "--name", NAME, *missing)
        others = [line for line in known if line.split()[0] not in wanted]
        run("docker", "exec", "--interactive", _NODE, "tee", _LOADED, stdin="\n".join([*others, *wanted.values()]))
    return missing


def _create(say: Say) -> None:
    """Create the cluster, or use the existing one."""
    KUBECONFIG.parent.mkdir(exist_ok=True)
    if NAME in run("kind", "get", "clusters").split():
        say(f"kind cluster {NAME} already exists")
        run("kind", "export", "kubeconfig", "--name", NAME, "--kubeconfig", str(KUBECONFIG))
    else:
        say(f"creating kind cluster {NAME}")
        node_image = os.environ.get("KIND_NODE_IMAGE")
        chosen = ["--image", node_image] if node_image else []
        create = ["kind", "create", "cluster", "--name", NAME, "--kubeconfig", str(KUBECONFIG), "--wait", "180s"]
        run(*create, "--config", "-", *chosen, stdin=json.dumps(_configuration()))
    # A node is ready before its DNS; until then, connections would fail and back off.
    Kubectl(KUBECONFIG, "kube-system")("rollout", "status", "deployment/coredns", "--timeout=180s")


def _configuration() -> dict[str, Any]:
    networking = {"ipFamily": IP_FAMILY} if IP_FAMILY else {}
    return {"kind": "Cluster", "apiVersion": "kind.x-k8s.io/v1alpha4", "networking": networking}


def _docker_id(image: str) -> str | None:
    try:
        return run("docker", "image", "inspect", "--format", "{{.Id}}", image).strip()
    except CommandError:
        return None
