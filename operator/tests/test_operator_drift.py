"""When a child is applied again, and when it is left alone."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
from mqtt_trace_operator.children import Manifest, PodTemplate, stateful_set
from mqtt_trace_operator.drift import Child, LastApplied, classify
from mqtt_trace_operator.fleet import Fleet

MakeFleet = Callable[..., Fleet]
Edit = Callable[[Manifest], object]


@pytest.fixture
def fleet(make_fleet: MakeFleet) -> Fleet:
    """A fleet."""
    return make_fleet()


@pytest.fixture
def manifest(fleet: Fleet, template: PodTemplate) -> Manifest:
    """The manifest of its StatefulSet."""
    return stateful_set(fleet, template)


@pytest.fixture
def live(manifest: Manifest) -> Manifest:
    """The StatefulSet as the API server has it."""
    live = copy.deepcopy(manifest)
    live["metadata"] |= {"uid": "uid-of-child", "resourceVersion": "12", "generation": 1, "managedFields": [{}]}
    live["spec"]["updateStrategy"] = {"type": "RollingUpdate"}
    live["status"] = {"replicas": 3}
    return live


@pytest.fixture
def applied(fleet: Fleet, manifest: Manifest, live: Manifest) -> LastApplied:
    """The memory of an operator that has applied it."""
    applied = LastApplied()
    applied.remember(fleet, manifest, copy.deepcopy(live))
    return applied


def test_a_child_that_is_missing_has_to_be_created(fleet: Fleet) -> None:
    """A child that never existed and one that a user deleted are both missing."""
    assert classify(None, fleet) is Child.MISSING


def test_a_child_of_the_fleet_is_owned(fleet: Fleet, live: Manifest) -> None:
    """The controller reference with the fleet's uid makes a child the fleet's own."""
    assert classify(live, fleet) is Child.OWNED


def test_an_operator_that_has_just_started_applies_each_child(fleet: Fleet, manifest: Manifest, live: Manifest) -> None:
    """Without a former apply no child is current."""
    assert not LastApplied().is_current(fleet, manifest, live)


def test_a_new_status_is_no_drift(fleet: Fleet, manifest: Manifest, live: Manifest, applied: LastApplied) -> None:
    """A child stays current when only its status changes, and with it the resourceVersion and the managed fields."""
    live["status"] = {"replicas": 4}
    live["metadata"] |= {"resourceVersion": "13", "managedFields": [{}, {"subresource": "status"}]}
    assert applied.is_current(fleet, manifest, live)


@pytest.mark.parametrize(
    "edit",
    [
        lambda live: live["spec"].update(replicas=1),
        lambda live: live["spec"]["template"]["spec"]["containers"][0].update(image="other"),
        lambda live: live["spec"]["template"]["spec"]["containers"][0]["env"].pop(0),
        lambda live: live["metadata"]["labels"].clear(),
        lambda live: live["metadata"].update(annotations={"example.com/note": "mine"}),
        lambda live: live["metadata"].update(uid="uid-of-another"),
    ],
)
def test_an_edited_child_is_applied_again(
    fleet: Fleet, manifest: Manifest, live: Manifest, applied: LastApplied, edit: Edit
) -> None:
    """Any edit leads to an apply, in which the API server restores the operator's fields and keeps all others."""
    edit(live)
    assert not applied.is_current(fleet, manifest, live)


def test_a_changed_manifest_is_applied(
    make_fleet: MakeFleet, template: PodTemplate, fleet: Fleet, live: Manifest, applied: LastApplied
) -> None:
    """A variable that the fleet adds makes a child outdated."""
    changed = stateful_set(make_fleet(env=[{"name": "A", "value": "b"}]), template)
    assert not applied.is_current(fleet, changed, live)


def test_a_fleet_that_is_gone_is_forgotten(
    fleet: Fleet, manifest: Manifest, live: Manifest, applied: LastApplied
) -> None:
    """The children of a fleet are forgotten with it."""
    applied.forget(fleet.namespace, fleet.name)
    assert not applied.is_current(fleet, manifest, live)


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
def test_a_child_of_another_owner_is_foreign(
    fleet: Fleet, live: Manifest, owners: list[Manifest], state: Child
) -> None:
    """Only a controller reference makes a child the fleet's; the child of a former fleet of the name is terminating."""
    live["metadata"]["ownerReferences"] = owners
    assert classify(live, fleet) is state


def test_a_child_that_is_being_deleted_is_terminating(fleet: Fleet, live: Manifest) -> None:
    """A child with a deletion timestamp is terminating."""
    live["metadata"]["deletionTimestamp"] = "2026-11-25T09:00:00Z"
    assert classify(live, fleet) is Child.TERMINATING
