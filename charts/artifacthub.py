"""The annotations of Chart.yaml that Artifact Hub shows and that follow from the rest: images and changes.

https://artifacthub.io/docs/topics/annotations/helm/ describes them.
"""

import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import yaml

from charts.published import REGISTRY, with_registry

CHART = Path(__file__).with_name("mqtt-trace")
CHANGELOG = Path(__file__).parents[1] / "CHANGELOG.md"

_MARK = "  # Written by charts/generate.py, from what the published chart renders and from the changelog.\n"


def with_annotations(chart: str) -> str:
    """The text of Chart.yaml with these annotations."""
    head, _, _ = chart.partition(_MARK)
    written = {"artifacthub.io/images": published_images(), "artifacthub.io/changes": changes(CHANGELOG.read_text())}
    blocks = "".join(f"  {name}: |\n{_indented(value)}" for name, value in written.items())
    return f"{head}{_MARK}{blocks}"


def published_images() -> list[dict[str, str]]:
    """Name and address of each image that the published chart can run."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as values:
        values.write(with_registry((CHART / "values.yaml").read_text(), REGISTRY))
        values.flush()
        every = ("--values", values.name, "--set", "brokerMetrics.enabled=true")
        command = ["helm", "template", "demo", str(CHART), *every]
        manifests = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = sorted(set(re.findall(r"""^[ -]+image: ["']?([^\s"']+)""", manifests, re.MULTILINE)))
    return [{"name": image.rpartition("/")[2].partition(":")[0], "image": image} for image in found]


def changes(changelog: str) -> list[dict[str, str]]:
    """Kind and description of the changes to chart and operator in the newest release."""
    newest = re.split(r"^## \[", changelog, flags=re.MULTILINE)[1]
    found = []
    for section in re.split(r"^### ", newest, flags=re.MULTILINE)[1:]:
        kind, _, items = section.partition("\n")
        lines = re.sub(r"\n +", " ", items).splitlines()
        found += [
            {"kind": kind.strip().lower(), "description": _sentence(line)}
            for line in lines
            if line.startswith(("- Chart: ", "- Operator: ", "- The operator"))
        ]
    return found


def _indented(value: Any) -> str:
    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=1000)
    return "".join(f"    {line}\n" for line in text.splitlines())


def _sentence(line: str) -> str:
    text = line.removeprefix("- ").removeprefix("Chart: ")
    return text[:1].upper() + text[1:]
