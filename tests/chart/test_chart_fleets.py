"""The fleets of examples/ are what the CRD and the operator accept."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from mqtt_trace_operator.fleet import Fleet

from charts.generate import CHART
from local.documents import blocks
from tests.chart.conftest import Render

ROOT = Path(__file__).parents[2]
EXAMPLES = [ROOT / "examples" / "fleet.yaml", *sorted((ROOT / "examples" / "fleets").glob("*.yaml"))]

WORKLOADS = {"Deployment", "StatefulSet"}


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    """The schema of a SensorFleet, closed as the API server closes it for kubectl."""
    crd = yaml.safe_load((CHART / "examples/default/rendered/operator/crd.yaml").read_text(encoding="utf-8"))
    (version,) = crd["spec"]["versions"]
    found = copy.deepcopy(version["schema"]["openAPIV3Schema"])
    _close(found["properties"]["spec"])
    closed: dict[str, Any] = found
    return closed


def _close(schema: dict[str, Any]) -> None:
    if "properties" in schema:
        schema["additionalProperties"] = False
        for part in schema["properties"].values():
            _close(part)
    if "items" in schema:
        _close(schema["items"])


def fill(schema: dict[str, Any], value: Any) -> Any:
    """The value with the schema's defaults, as the API server stores it."""
    if isinstance(value, list):
        return [fill(schema.get("items", {}), one) for one in value]
    if not isinstance(value, dict):
        return value
    parts = schema.get("properties", {})
    defaults = {name: part["default"] for name, part in parts.items() if "default" in part and name not in value}
    return {name: fill(parts.get(name, {}), one) for name, one in {**defaults, **value}.items()}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_accepted(path: Path, schema: dict[str, Any]) -> None:
    """An example has no unknown field, and the operator reads all of it."""
    fleet = yaml.safe_load(path.read_text(encoding="utf-8"))
    jsonschema.validate(fleet, schema)
    assert path.stem in {fleet["metadata"]["name"], "fleet"}
    metadata = {"namespace": "iot", "uid": "uid", "generation": 1, **fleet["metadata"]}
    spec = Fleet.from_object({"metadata": metadata, "spec": fill(schema["properties"]["spec"], fleet["spec"])}).spec
    if path.stem != "fleet":
        assert spec.scenario is not None
        assert spec.expect is not None
        assert spec.expect.lost == 0


def test_the_fleet_of_the_ci_page_is_accepted(schema: dict[str, Any]) -> None:
    """A reader copies it as it is."""
    workflow, fleet = (yaml.safe_load(block.code) for block in blocks("how-to/ci.md", "yaml"))
    jsonschema.validate(fleet, schema)
    (job,) = workflow["jobs"].values()
    commands = " ".join(step["run"] for step in job["steps"] if "run" in step)
    assert f"fleet/{fleet['metadata']['name']}" in commands


def test_the_values_of_the_ci_page_install_no_broker_and_no_consumer(render: Render) -> None:
    """The chart accepts them, and what runs is the reader's own."""
    workflow, _ = (yaml.safe_load(block.code) for block in blocks("how-to/ci.md", "yaml"))
    (job,) = workflow["jobs"].values()
    (install,) = (step["run"] for step in job["steps"] if "helm install" in step.get("run", ""))
    workloads = {m["metadata"]["name"] for m in render(*re.findall(r"--set (\S+)", install)) if m["kind"] in WORKLOADS}
    assert workloads == {f"demo-mqtt-trace-{name}" for name in ("operator", "otel-collector", "scout-sim")}


def test_the_target_of_the_page_is_accepted(schema: dict[str, Any]) -> None:
    """A reader adds it to a fleet."""
    example, target = (yaml.safe_load(block.code) for block in blocks("how-to/verdict.md", "yaml"))
    jsonschema.validate({**example, "spec": {**example["spec"], **target["spec"]}}, schema)


@pytest.mark.parametrize("field", ["replica", "expect.lots", "scenario.phases.0.repliccas", "target.hots"])
def test_a_field_that_does_not_exist_is_refused(field: str, schema: dict[str, Any]) -> None:
    """Otherwise the test above would accept anything."""
    fleet = yaml.safe_load(EXAMPLES[-1].read_text(encoding="utf-8"))
    fleet["spec"]["target"] = {"host": "broker.example.com"}
    place = fleet["spec"]
    *path, name = field.split(".")
    for part in path:
        place = place[int(part)] if part.isdecimal() else place[part]
    place[name] = 1
    with pytest.raises(jsonschema.ValidationError, match="Additional properties are not allowed"):
        jsonschema.validate(fleet, schema)
