"""The checked-in renders and the README's table match the chart."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from charts.generate import CHART, EXAMPLES, README, REQUIRED, SCHEMA, described, render, rendered, with_tables
from charts.schema import required_values, schema_json, source
from local.needed import skip_without


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_the_render_of_each_example_is_the_one_checked_in(example: Path, helm: str) -> None:
    """A change to a template shows in its file under `rendered/`, written by `python -m charts.generate`."""
    assert render(example, helm=helm) == rendered(example)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_helm_finds_nothing_to_complain_about(example: Path, helm: str) -> None:
    """`helm lint --strict` passes with the values of each example."""
    command = [helm, "lint", "--strict", str(CHART), "--values", str(example / "values.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_readme_has_the_tables_of_values() -> None:
    """Every value with its default and its comment, made again by `python -m charts.generate`."""
    skip_without("helm")
    assert with_tables(README.read_text()) == README.read_text()


def test_the_schema_is_the_one_of_its_source() -> None:
    """A change to `values.schema.yaml` reaches Helm by `python -m charts.generate`."""
    assert SCHEMA.read_text() == schema_json()
    assert REQUIRED.read_text() == required_values()


def test_a_value_without_a_comment_is_not_documented_silently() -> None:
    """The table is refused rather than incomplete."""
    with pytest.raises(ValueError, match=r"producer\.surprise has no comment"):
        described("producer:\n  # Whether it runs.\n  enabled: true\n\n  surprise: 1\n")


def test_the_schema_knows_every_value() -> None:
    """Each value of `values.yaml` is in the closed schema; the schema's others are optional ones of every component."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = yaml.safe_load(SCHEMA.read_text())
    optional = source()["definitions"]["componentSettings"]["properties"].keys()
    differences: list[str] = []

    def compare(value: Any, part: dict[str, Any], path: str) -> None:
        resolved = schema["definitions"][part["$ref"].rpartition("/")[2]] if "$ref" in part else part
        properties = resolved.get("properties")
        if not isinstance(value, dict) or not value or properties is None or "/k8s." in part.get("$ref", ""):
            return
        if resolved.get("additionalProperties") is not False and path != "global.":
            differences.append(f"{path} is open")
        differences.extend(f"{path}{name}" for name in (value.keys() ^ properties.keys()) - optional)
        for name in value.keys() & properties.keys():
            compare(value[name], properties[name], f"{path}{name}.")

    compare(values, schema, "")
    assert differences == ["enabled"]
