"""The parts of a release."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from opentelemetry.instrumentation import paho_mqtt

import mqtt_trace
from tests.packaging.conftest import ROOT
from tests.packaging.test_matrix import PYTHONS

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))


def load(path: Path) -> Any:
    """A YAML file; a workflow's `on` is a boolean to YAML 1.1."""
    return yaml.safe_load(path.read_text())


def test_the_changelog_begins_with_the_version() -> None:
    """The newest heading of the changelog is the version of chart and packages, with the day of its release."""
    headings = re.findall(
        r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE
    )
    assert headings[0] == load(ROOT / "charts" / "mqtt-trace" / "Chart.yaml")["appVersion"] == mqtt_trace.__version__
    assert headings == sorted(headings, key=lambda version: [int(part) for part in version.split(".")], reverse=True)


def test_the_docs_name_the_wheel_of_the_version() -> None:
    """The install command in the docs names the file of this release."""
    assert f"./mqtt_trace-{mqtt_trace.__version__}-py3-none-any.whl\n" in (ROOT / "docs" / "index.md").read_text()


def test_every_package_of_a_version_has_its_number() -> None:
    """All packages, including the conventional name, have the same version."""
    assert paho_mqtt.__version__ == mqtt_trace.__version__


def test_a_tag_publishes_both_packages_without_a_token() -> None:
    """The job that uploads both packages has the permissions of trusted publishing and no secret."""
    jobs = load(ROOT / ".github" / "workflows" / "release.yaml")["jobs"]
    assert jobs["pypi"]["environment"] == "pypi"
    assert jobs["pypi"]["permissions"]["id-token"] == "write"
    assert "secrets." not in str(jobs["pypi"])
    build, publish = str(jobs["packages"]["steps"]), jobs["pypi"]["steps"][-1]
    assert "for project in . instrumentation/*/" in build
    assert publish.keys() == {"uses"}
    assert publish["uses"].startswith("pypa/gh-action-pypi-publish@")


def test_the_workflow_tests_each_python_that_the_packages_name() -> None:
    """Each Python of the packages runs the tests, and installs the packages."""
    job = load(ROOT / ".github" / "workflows" / "ci.yaml")["jobs"]["test"]
    (python,) = (step["with"]["python-version"] for step in job["steps"] if "setup-python" in step.get("uses", ""))
    assert job["strategy"]["matrix"]["python"] == PYTHONS
    assert python.split("${{")[0].split() == PYTHONS


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_each_action_is_pinned_to_a_commit(workflow: Path) -> None:
    """A workflow names each action by a full commit SHA, with the version in a comment."""
    uses = re.findall(r"^ *(?:- )?uses: (.+)$", workflow.read_text(), re.MULTILINE)
    assert uses
    pinned = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
    assert [action for action in uses if not pinned.fullmatch(action)] == []


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_call_verbs_that_exist(workflow: Path) -> None:
    """`make` knows each verb that a workflow runs."""
    verbs = set(re.findall(r"^([a-z0-9]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    steps = [step for job in load(workflow)["jobs"].values() for step in job["steps"]]
    calls = [re.findall(r"^\s*make ([a-z0-9 ]+?)(?: TESTS=.*)?$", step.get("run", ""), re.MULTILINE) for step in steps]
    used = {verb for lines in calls for line in lines for verb in line.split()}
    assert used
    assert used <= verbs
