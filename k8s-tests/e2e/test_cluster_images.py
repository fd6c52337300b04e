"""The images that `make images` builds are small and labelled, and stop on SIGTERM."""

import json
import os
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from e2e.release import VERSION, until
from local.cluster import chart_images
from local.commands import run

SERVICES = ["producer", "consumer", "echo", "scout-sim", "broker-metrics"]

TOOLS = "import shutil; print([tool for tool in ('uv', 'gcc', 'cc', 'make') if shutil.which(tool)])"

pytestmark = pytest.mark.skipif(
    os.environ.get("E2E_EXISTING") == "1", reason="the images are in a registry, not in this machine's Docker"
)


@pytest.fixture(scope="module")
def images(kubeconfig: Path | None) -> list[str]:
    """Our own images, built."""
    assert kubeconfig is not None
    return [image for image in chart_images() if image.startswith("mqtt-trace-")]


def configuration(image: str) -> Any:
    """Return the configuration of an image."""
    return json.loads(run("docker", "image", "inspect", "--format", "{{json .Config}}", image))


def own_layers(image: str) -> list[int]:
    """Return the sizes in bytes of the layers that the Dockerfile's last stage adds to its base."""
    history = run("docker", "history", "--no-trunc", "--human=false", "--format", "{{.Size}} {{.CreatedBy}}", image)
    added = takewhile(lambda line: "ARG VERSION" not in line, history.splitlines())
    return [int(line.split()[0]) for line in added]


def test_the_layers_of_ours_are_small(images: list[str]) -> None:
    """Our layers add no more than 100 MB to Python's image, and the operator's, with Plotly for its report, 160 MB."""
    sizes = {image: sum(own_layers(image)) for image in images}
    limits = {image: 160_000_000 if "-operator:" in image else 100_000_000 for image in images}
    assert {image: size for image, size in sizes.items() if not 0 < size <= limits[image]} == {}


def test_an_image_says_what_it_is(images: list[str]) -> None:
    """The image has the labels of the OCI image specification, with the chart's version and the commit of the build."""
    for image in images:
        labels = configuration(image)["Labels"]
        own = {key.rpartition(".")[2]: value for key, value in labels.items() if key.startswith("org.opencontainers")}
        assert own["title"] == image.partition(":")[0]
        assert own["version"] == VERSION
        assert own["licenses"] == "Apache-2.0"
        assert len(own["revision"].partition("-")[0]) == 40
        assert own["description"]


def test_an_image_has_nothing_to_build_with(images: list[str]) -> None:
    """The image contains neither uv nor a compiler."""
    for image in images:
        assert run("docker", "run", "--rm", "--entrypoint", "python", image, "-c", TOOLS).strip() == "[]", image


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize("service", SERVICES)
def test_sigterm_reaches_the_service(service: str) -> None:
    """A container ends on SIGTERM with code 0, also with a read-only root and without capabilities."""
    safe = ["--network", "none", "--read-only", "--cap-drop", "ALL"]
    short = ["--env", "OTEL_SDK_DISABLED=true", "--env", "DRAIN_TIMEOUT_S=1"]
    container = run("docker", "run", "--detach", *safe, *short, f"mqtt-trace-{service}:{VERSION}").strip()
    try:
        until(lambda: said(container), "it says something once it runs", 60)
        run("docker", "stop", "--time", "120", container)
        assert run("docker", "inspect", "--format", "{{.State.ExitCode}}", container).strip() == "0"
    finally:
        run("docker", "rm", "--force", container)


def said(container: str) -> str:
    """Return its standard output."""
    return run("docker", "logs", container)
