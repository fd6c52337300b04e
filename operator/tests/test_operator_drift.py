"""When a child is applied again, and when it is left alone."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from mqtt_trace_operator.children import PodTemplate, stateful_set
from mqtt_trace_operator.drift import Child, classify, contains
from mqtt_trace_operator.fleet import Fleet

MakeFleet = Callable[..., Fleet]
Edit = Callable[[dict[str, Any]], object]


def as_defaulted(wanted: dict[str, Any]) -> dict[str, Any]:
    """The same object after the API server has added to it and written quantities its way."""
    live = copy.deepcopy(wanted)
    live["metadata"] |= {"resourceVersion": "12", "generation": 1, "managedFields": [{}]}
    live["spec"]["updateStrategy"] = {"type": "RollingUpdate"}
    (container,) = live["spec"]["template"]["spec"]["containers"]
    container["terminationMessagePath"] = "/dev/termination-log"
    container["resources"] = {"limits": {"memory": "1Gi", "cpu": "500m"}}
    container["env"].append({"name": "INJECTED", "value": "by somebody else"})
    live["status"] = {"replicas": 3}
    return live


@pytest.fixture
def fleet(make_fleet: MakeFleet) -> Fleet:
    """A fleet with quantities that the API server writes otherwise, and an empty variable."""
    limits = {"memory": "1024Mi", "cpu": "0.5"}
    return make_fleet(resources={"limits": limits}, env=[{"name": "EMPTY", "value": ""}])


@pytest.fixture
def wanted(fleet: Fleet, template: PodTemplate) -> dict[str, Any]:
    """Its StatefulSet."""
    return stateful_set(fleet, template)


def test_a_child_that_is_not_there_has_to_be_created(fleet: Fleet, wanted: dict[str, Any]) -> None:
    """Also after somebody deleted it."""
    assert classify(None, wanted, fleet) is Child.MISSING


def test_what_the_api_server_and_others_added_is_no_drift(fleet: Fleet, wanted: dict[str, Any]) -> None:
    """Defaults, canonical quantities, variables of another field manager and a dropped empty value stay."""
    live = as_defaulted(wanted)
    (container,) = live["spec"]["template"]["spec"]["containers"]
    next(variable for variable in container["env"] if variable["name"] == "EMPTY").pop("value")
    assert classify(live, wanted, fleet) is Child.CURRENT


@pytest.mark.parametrize(
    "edit",
    [
        lambda live: live["spec"].update(replicas=1),
        lambda live: live["spec"]["template"]["spec"]["containers"][0].update(image="other"),
        lambda live: live["spec"]["template"]["spec"]["containers"][0]["env"].pop(0),
        lambda live: live["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"].update(cpu="2"),
        lambda live: live["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"].pop("memory"),
        lambda live: live["spec"]["template"]["spec"].update(volumes=[]),
        lambda live: live["metadata"]["labels"].clear(),
        lambda live: live["metadata"]["annotations"].clear(),
    ],
)
def test_an_edit_of_what_was_applied_is_drift(fleet: Fleet, wanted: dict[str, Any], edit: Edit) -> None:
    """Whatever the operator wrote and somebody changed or removed is written again."""
    live = as_defaulted(wanted)
    edit(live)
    assert classify(live, wanted, fleet) is Child.DRIFTED


@pytest.mark.parametrize(
    ("live", "wanted", "same"),
    [
        ("1Gi", "1024Mi", True),
        ("500m", "0.5", True),
        ("1", 1, True),
        ("500u", "500u", True),
        ("1E", "1000P", True),
        ("1288490188800m", "1.2Gi", True),
        ("500u", "500n", False),
        ("1E3", "1E", False),
        ("much", "much", True),
        ("much", "more", False),
        ("1", "one", False),
        ("", "1", False),
    ],
)
def test_quantities_are_compared_by_what_they_are_worth(live: object, wanted: object, same: bool) -> None:
    """However Kubernetes or the fleet's owner writes them; what cannot be read is worth its text."""
    assert contains({"limits": {"cpu": live}}, {"limits": {"cpu": wanted}}) is same


@pytest.mark.parametrize(
    ("live", "wanted", "same"), [("1", 1, True), ("1Mi", "1024Ki", True), ("1Mi", "1M", False), (None, "1Mi", False)]
)
def test_a_divisor_is_a_quantity_too(live: object, wanted: object, same: bool) -> None:
    """That of a variable which has its value from the pod's resources."""
    assert contains({"divisor": live, "resource": "limits.memory"}, {"divisor": wanted}) is same


def test_what_a_fleet_asks_for_no_more_is_drift(make_fleet: MakeFleet, template: PodTemplate) -> None:
    """A variable that the fleet dropped is only seen by the hash of what was applied."""
    live = as_defaulted(stateful_set(make_fleet(env=[{"name": "A", "value": "b"}]), template))
    assert classify(live, stateful_set(make_fleet(), template), make_fleet()) is Child.DRIFTED


@pytest.mark.parametrize(
    ("owners", "state"),
    [
        ([], Child.FOREIGN),
        ([{"kind": "Deployment", "name": "demo", "uid": "x", "controller": True}], Child.FOREIGN),
        ([{"kind": "SensorFleet", "name": "demo", "uid": "uid-of-demo"}], Child.FOREIGN),
        ([{"kind": "SensorFleet", "name": "other", "uid": "x", "controller": True}], Child.FOREIGN),
        ([{"kind": "SensorFleet", "name": "demo", "uid": "uid-of-the-former", "controller": True}], Child.TERMINATING),
    ],
)
def test_a_child_of_somebody_else_is_left_alone(
    fleet: Fleet, wanted: dict[str, Any], owners: list[dict[str, Any]], state: Child
) -> None:
    """Only the fleet's own controller reference counts; the child of a former fleet of the name is about to go."""
    live = as_defaulted(wanted)
    live["metadata"]["ownerReferences"] = owners
    assert classify(live, wanted, fleet) is state


def test_a_child_that_is_being_deleted_is_waited_for(fleet: Fleet, wanted: dict[str, Any]) -> None:
    """Applying to it would change what is about to go."""
    live = as_defaulted(wanted)
    live["metadata"]["deletionTimestamp"] = "2026-11-25T09:00:00Z"
    assert classify(live, wanted, fleet) is Child.TERMINATING


@pytest.mark.parametrize(
    ("live", "wanted", "contained"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"a": 1}, {"a": 1, "b": None}, True),
        ({}, {"a": False, "b": "", "c": {}}, True),
        ({}, {"a": 0}, True),
        ({}, {"a": 1}, False),
        ({"a": None}, {"a": {"b": 1}}, False),
        ({"a": "text"}, {"a": {"b": 1}}, False),
        ({"a": "text"}, {"a": ["text"]}, False),
        ([{"name": "b"}, {"name": "a", "x": 1}], [{"name": "a"}], True),
        ([{"name": "b"}], [{"name": "a"}], False),
        (["a", "b"], ["a", "b"], True),
        (["a", "b"], ["a"], False),
    ],
)
def test_wanted_is_a_part_of_live(live: object, wanted: object, contained: bool) -> None:
    """Maps may have more, lists of named items too, lists of plain ones not; empty is as good as absent."""
    assert contains(live, wanted) is contained
