"""Reconciles of a fleet against the real API server."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from mqtt_trace_operator.reconcile import Outcome

from e2e.reconciling import Fleets
from e2e.release import until
from local.commands import CommandError, Kubectl


def versions(fleets: Fleets) -> list[str]:
    """Return the versions of a fleet and its children, which every write changes."""
    objects = [fleets.get("fleet"), fleets.get("configmap", "demo-fleet"), fleets.get("statefulset")]
    return [one["metadata"]["resourceVersion"] for one in objects[:2]] + [str(objects[2]["metadata"]["generation"])]


def pod_template(fleets: Fleets) -> Any:
    """Return the pod template of the fleet's StatefulSet."""
    return fleets.get("statefulset")["spec"]["template"]


def interrupt_at(number: int) -> Callable[[int], None]:
    """Return a function that ends an operator before its apply of this number."""

    def interrupt(apply: int) -> None:
        if apply == number:
            raise KeyboardInterrupt

    return interrupt


def test_a_new_fleet_gets_its_children(fleets: Fleets) -> None:
    """The fleet owns a ConfigMap and a StatefulSet, and its status counts the sensors, none of them connected."""
    fleets.apply()
    done = fleets.reconcile()
    assert done.result.changes == ["ConfigMap demo-fleet created", "StatefulSet demo created"]
    assert done.result.outcome is Outcome.REQUEUE
    fleet = fleets.get("fleet")
    for child in (fleets.get("configmap", "demo-fleet"), fleets.get("statefulset")):
        (owner,) = child["metadata"]["ownerReferences"]
        assert (owner["uid"], owner["controller"]) == (fleet["metadata"]["uid"], True)
    assert fleets.get("statefulset")["spec"]["replicas"] == 2
    assert fleets.fleet_file()["replicas"] == 3
    status = fleet["status"]
    assert (status["replicas"], status["readyReplicas"], status["observedGeneration"]) == (3, 0, 1)
    assert "finalizers" not in fleet["metadata"]
    path = f"/apis/mqtt-trace.io/v1alpha1/namespaces/{fleets.kubectl.namespace}/sensorfleets/demo/scale"
    scale = json.loads(fleets.kubectl("get", "--raw", path))
    assert scale["status"] == {"replicas": 3, "selector": "mqtt-trace.io/fleet=demo"}


def test_a_reconcile_that_has_nothing_to_change_writes_nothing(fleets: Fleets) -> None:
    """An operator that has just started applies each child once, which changes nothing; from then on it only reads."""
    fleets.apply(resources={"limits": {"memory": "65536Ki", "cpu": "0.05"}}, env=[{"name": "EMPTY"}])
    fleets.reconcile_until("Ready", "ImagePullBackOff")
    until(lambda: fleets.reconcile(then=lambda: None).writes == 0, "the status has settled", 60)
    before = versions(fleets)
    started = fleets.reconcile()
    assert (started.writes, started.result.changes) == (2, [])
    assert fleets.reconcile(then=lambda: None).writes == 0
    assert versions(fleets) == before


def test_a_rescale_and_a_new_interval_replace_no_pod(fleets: Fleets) -> None:
    """A new number of sensors or a new interval changes the fleet file and the number of pods, not the pod template."""
    fleets.apply()
    fleets.reconcile()
    before = pod_template(fleets)
    fleets.kubectl("scale", "fleet/demo", "--replicas=7")
    fleets.kubectl("patch", "fleet", "demo", "--type=merge", "--patch", '{"spec": {"interval": "500ms"}}')
    assert fleets.reconcile().result.changes == ["ConfigMap demo-fleet changed", "StatefulSet demo changed"]
    fleet_file = fleets.fleet_file()
    assert (fleet_file["replicas"], fleet_file["intervalSeconds"], fleet_file["generation"]) == (7, 0.5, 3)
    assert fleets.get("statefulset")["spec"]["replicas"] == 4
    assert pod_template(fleets) == before


def test_image_variables_and_resources_replace_the_pods(fleets: Fleets) -> None:
    """A changed pod template replaces the pods, and fields that the fleet drops are removed."""
    fleets.apply()
    fleets.reconcile()
    before = pod_template(fleets)
    changed: dict[str, Any] = {
        "image": "mine:2",
        "env": [{"name": "A", "value": "b"}],
        "resources": {"limits": {"memory": "9Mi"}},
    }
    fleets.apply(**changed)
    fleets.reconcile()
    (container,) = pod_template(fleets)["spec"]["containers"]
    assert (container["image"], container["resources"]) == ("mine:2", changed["resources"])
    assert {"name": "A", "value": "b"} in container["env"]
    fleets.apply()
    fleets.reconcile()
    assert pod_template(fleets) == before


@pytest.mark.parametrize(
    "interfere",
    [
        ["delete", "configmap", "demo-fleet"],
        ["delete", "statefulset", "demo"],
        ["scale", "statefulset", "demo", "--replicas=9"],
        ["set", "image", "statefulset/demo", "producer=other:1"],
        ["set", "env", "statefulset/demo", "LOG_LEVEL-"],
        ["label", "statefulset", "demo", "mqtt-trace.io/fleet-"],
        ["patch", "configmap", "demo-fleet", "--type=merge", '--patch={"data": {"fleet.json": "{}"}}'],
    ],
    ids=" ".join,
)
def test_a_changed_or_deleted_child_is_restored(fleets: Fleets, interfere: list[str]) -> None:
    """Children that a user edits or deletes are restored."""
    fleets.apply()
    fleets.reconcile()
    fleet_file, template = fleets.fleet_file(), pod_template(fleets)
    assert len(fleets.reconcile(then=lambda: fleets.kubectl(*interfere)).result.changes) == 1
    assert fleets.fleet_file() == fleet_file
    assert pod_template(fleets) == template
    stateful_set = fleets.get("statefulset")
    assert stateful_set["spec"]["replicas"] == 2
    assert stateful_set["metadata"]["labels"]["mqtt-trace.io/fleet"] == "demo"
    assert fleets.reconcile().result.changes == []


def test_fields_of_others_are_kept(fleets: Fleets) -> None:
    """A variable and an annotation that somebody else adds stay, and count as no change."""
    fleets.apply()

    def add() -> None:
        fleets.kubectl("set", "env", "statefulset/demo", "INJECTED=yes")
        fleets.kubectl("annotate", "configmap", "demo-fleet", "example.com/note=mine")

    assert fleets.reconcile(then=add).result.changes == []
    environment = pod_template(fleets)["spec"]["containers"][0]["env"]
    assert {"name": "INJECTED", "value": "yes"} in environment
    assert fleets.get("configmap", "demo-fleet")["metadata"]["annotations"]["example.com/note"] == "mine"


def test_a_field_that_another_manager_took_is_taken_back(fleets: Fleets) -> None:
    """After a conflict of server-side apply the field has the fleet's value."""
    fleets.apply()
    fleets.reconcile()
    theirs = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "demo"},
        "spec": {"replicas": 5},
    }
    options = ["--server-side", "--force-conflicts", "--field-manager=somebody", "--validate=false"]
    fleets.kubectl("apply", *options, "--filename", "-", stdin=json.dumps(theirs))
    assert fleets.get("statefulset")["spec"]["replicas"] == 5
    assert fleets.reconcile().result.changes == ["StatefulSet demo changed"]
    assert fleets.get("statefulset")["spec"]["replicas"] == 2


@pytest.mark.parametrize("number", [0, 1])
def test_an_operator_that_ends_in_the_middle_is_followed_by_one_that_finishes(fleets: Fleets, number: int) -> None:
    """The next operator finishes a reconcile that ended before the first child, or between the two."""
    fleets.apply()
    with pytest.raises(KeyboardInterrupt):
        fleets.reconcile(before_apply=interrupt_at(number))
    assert len(fleets.reconcile().result.changes) == 2 - number
    assert fleets.get("statefulset")["spec"]["replicas"] == fleets.fleet_file()["replicas"] - 1
    fleets.apply(replicas=6)
    with pytest.raises(KeyboardInterrupt):
        fleets.reconcile(before_apply=interrupt_at(number))
    assert len(fleets.reconcile().result.changes) == 2 - number
    assert (fleets.fleet_file()["replicas"], fleets.get("statefulset")["spec"]["replicas"]) == (6, 3)


@pytest.mark.parametrize("number", [0, 1])
def test_a_fleet_that_is_deleted_meanwhile_is_no_error(fleets: Fleets, number: int) -> None:
    """Children that are still created for a deleted fleet are deleted with it."""
    fleets.apply()

    def delete(apply: int) -> None:
        if apply == number:
            fleets.kubectl("delete", "fleet", "demo", "--wait")

    fleets.reconcile(before_apply=delete)
    assert fleets.reconcile().result.outcome is Outcome.GONE
    until(
        lambda: not fleets.kubectl("get", "statefulset,configmap", "--selector=mqtt-trace.io/fleet", "--output=name"),
        "the garbage collector has removed the children",
        120,
    )


def test_a_namespace_that_ends_meanwhile_is_no_error(make_namespace: Callable[[str], Kubectl]) -> None:
    """In a terminating namespace, in which the API server creates nothing, a reconcile ends without an error."""
    kubectl = make_namespace("mqtt-trace-e2e-ending")
    fleets = Fleets(kubectl)
    fleets.apply()
    kubectl("create", "configmap", "last")
    kubectl("patch", "configmap", "last", "--type=merge", '--patch={"metadata": {"finalizers": ["example.com/held"]}}')

    def end(apply: int) -> None:
        if apply == 0:
            kubectl("delete", "namespace", kubectl.namespace, "--wait=false")

    assert fleets.reconcile(before_apply=end).result.outcome is Outcome.GONE
    kubectl("patch", "configmap", "last", "--type=merge", '--patch={"metadata": {"finalizers": null}}')


@pytest.mark.parametrize("kind", ["configmap", "statefulset"])
def test_a_child_of_somebody_else_is_not_touched(fleets: Fleets, kind: str) -> None:
    """A child of another owner stalls the fleet until it is deleted."""
    name = "demo-fleet" if kind == "configmap" else "demo"
    fleets.apply("other")
    fleets.reconcile("other")
    source = fleets.get(kind, "other-fleet" if kind == "configmap" else "other")
    foreign = {key: source[key] for key in ("apiVersion", "kind", "data", "spec") if key in source}
    foreign["metadata"] = {"name": name}
    fleets.kubectl("create", "--filename", "-", stdin=json.dumps(foreign))
    before = fleets.get(kind, name)["metadata"]
    fleets.apply()
    done = fleets.reconcile()
    assert done.result.outcome is Outcome.REQUEUE
    stalled = fleets.condition("Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "ForeignChild")
    message = f"{foreign['kind']} {name} exists and is not this fleet's: delete it, or rename the fleet"
    assert stalled["message"] == message
    after = fleets.get(kind, name)["metadata"]
    assert (after["uid"], after.get("ownerReferences")) == (before["uid"], None)
    fleets.kubectl("delete", kind, name, "--wait")
    fleets.reconcile()
    assert fleets.condition("Stalled")["status"] == "False"
    assert fleets.fleet_file()["fleet"] == "demo"


def test_a_paused_fleet_stays_as_it_is(fleets: Fleets) -> None:
    """No change of a paused fleet or of its children is reconciled until the fleet is resumed."""
    fleets.apply()
    fleets.reconcile()
    fleets.apply(replicas=9, paused=True)
    fleets.kubectl("scale", "statefulset", "demo", "--replicas=1")
    assert fleets.reconcile().result.changes == []
    fleet = fleets.get("fleet")
    assert (fleet["status"]["replicas"], fleet["status"]["observedGeneration"]) == (3, 2)
    assert fleets.condition("Reconciling")["reason"] == "Paused"
    fleets.apply(replicas=9)
    fleets.reconcile()
    assert (fleets.fleet_file()["replicas"], fleets.get("statefulset")["spec"]["replicas"]) == (9, 5)


def test_a_scenario_has_pods_for_its_maximum_and_waits_for_them(fleets: Fleets) -> None:
    """The fleet file has the scenario without a start, and each pod of the largest phase exists from the beginning."""
    phases = [{"name": "few", "duration": "30s"}, {"name": "many", "duration": "30s", "replicas": 9}]
    fleets.apply(scenario={"phases": phases})
    fleets.reconcile()
    assert fleets.get("statefulset")["spec"]["replicas"] == 5
    scenario = fleets.fleet_file()["scenario"]
    assert [phase["name"] for phase in scenario["phases"]] == ["few", "many"]
    assert "startedAt" not in scenario
    assert fleets.condition("Complete")["reason"] == "Waiting"
    assert fleets.get("fleet")["status"]["scenario"]["complete"] is False
    fleets.apply()
    fleets.reconcile()
    assert "scenario" not in fleets.fleet_file()
    status = fleets.get("fleet")["status"]
    assert "scenario" not in status
    assert "Complete" not in {condition["type"] for condition in status["conditions"]}


def test_an_impossible_change_is_refused_with_its_reason(fleets: Fleets) -> None:
    """The message explains why sensorsPerPod is immutable, and the limit of pods, also through /scale."""
    fleets.apply()
    with pytest.raises(CommandError) as refused:
        fleets.apply(sensorsPerPod=3)
    assert (
        "sensorsPerPod is immutable, because sensors would move between pods; create a new fleet instead"
        in refused.value.output
    )
    with pytest.raises(CommandError) as refused:
        fleets.kubectl("scale", "fleet/demo", "--replicas=401")
    assert "must not exceed 200, the maximum number of pods of a fleet" in refused.value.output


def test_a_fleet_without_an_operator_goes_with_all_that_is_its(fleets: Fleets) -> None:
    """Without an operator the garbage collector deletes the children of a deleted fleet."""
    fleets.apply()
    fleets.reconcile()
    fleets.kubectl("delete", "fleet", "demo", "--wait", "--timeout=60s")
    until(
        lambda: not fleets.kubectl("get", "statefulset,configmap,pod", "--selector=mqtt-trace.io/fleet", "-o=name"),
        "the children are gone",
        120,
    )
