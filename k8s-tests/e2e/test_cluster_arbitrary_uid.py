"""A release under an arbitrary uid with group 0, as OpenShift chooses it, with fleets in the namespaces of a list."""

import json
from collections.abc import Callable, Iterator

import pytest

from e2e.fleets import SensorFleet
from e2e.release import Release, until
from local.cluster import CHART
from local.commands import CommandError, Helm, Kubectl

NAMESPACE = "mqtt-trace-e2e-uid"
LISTED, UNLISTED = f"{NAMESPACE}-listed", f"{NAMESPACE}-unlisted"
UID = 1_000_680_000
VALUES = [
    f"podSecurityContext.runAsUser={UID}",
    "podSecurityContext.runAsGroup=0",
    f"podSecurityContext.fsGroup={UID}",
    "broker.podSecurityContext=null",
    f"operator.namespaces={{{NAMESPACE},{LISTED}}}",
]


@pytest.fixture(scope="module")
def other_namespaces(make_namespace: Callable[[str], Kubectl]) -> Iterator[dict[str, Kubectl]]:
    """Two namespaces without a release."""
    made = {name: make_namespace(name) for name in (LISTED, UNLISTED)}
    yield made
    for name, kubectl in made.items():
        kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def release(
    make_namespace: Callable[[str], Kubectl], other_namespaces: dict[str, Kubectl], options: tuple[str, ...]
) -> Iterator[Release]:
    """A release of these tests' own, instead of the session's."""
    assert other_namespaces
    kubectl = make_namespace(NAMESPACE)
    installed = Release("uid", Helm(kubectl.kubeconfig, NAMESPACE), kubectl, options)
    installed.apply(*VALUES)
    yield installed
    installed.helm("uninstall", installed.name, "--wait")
    kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def test_a_reading_passes_every_hop_under_an_arbitrary_uid(release: Release) -> None:
    """`helm test` passes where no pod runs as a user of its image."""
    pods = release.kubectl.json("get", "pods", "--selector", f"app.kubernetes.io/instance={release.name}")["items"]
    contexts = [pod["spec"]["securityContext"] for pod in pods]
    assert {(context["runAsUser"], context["runAsGroup"]) for context in contexts} == {(UID, 0)}
    script = "import os; print(os.getuid(), os.getgid())"
    said = release.kubectl("exec", f"statefulset/{release.object('consumer')}", "--", "python", "-c", script)
    assert said.split() == [str(UID), "0"]
    release.helm("test", release.name, "--timeout", "3m")


def test_only_the_fleets_of_listed_namespaces_run(release: Release, other_namespaces: dict[str, Kubectl]) -> None:
    """Fleets in the namespaces of the list become ready under the uid, and one in another namespace is left alone."""
    ignored = SensorFleet(other_namespaces[UNLISTED], "ignored")
    ignored.apply(1)
    copy_secret(release, release.object("auth"), other_namespaces[LISTED])
    fleets = [SensorFleet(kubectl, "plant") for kubectl in (release.kubectl, other_namespaces[LISTED])]
    for fleet in fleets:
        fleet.apply(2)
    for fleet in fleets:
        fleet.wait_ready(2)
        assert {pod["spec"]["securityContext"]["runAsUser"] for pod in fleet.pods()} == {UID}
    assert "status" not in ignored.object()
    assert ignored.children() == []
    for fleet in fleets:
        fleet.delete()


def test_the_operator_reaches_no_other_namespace(release: Release) -> None:
    """The API server allows the operator's account the fleets of the listed namespaces, and no others."""
    account = f"system:serviceaccount:{NAMESPACE}:{release.object('operator')}"

    def may_list(namespace: str) -> bool:
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": account,
                "resourceAttributes": {
                    "namespace": namespace,
                    "verb": "list",
                    "group": "mqtt-trace.io",
                    "resource": "sensorfleets",
                },
            },
        }
        answer = release.kubectl("create", "--filename", "-", "--output=json", stdin=json.dumps(review))
        return bool(json.loads(answer)["status"]["allowed"])

    until(lambda: may_list(NAMESPACE) and may_list(LISTED), "the roles apply", 30)
    assert not may_list(UNLISTED)


def test_a_second_operator_for_a_listed_namespace_is_refused(
    release: Release, other_namespaces: dict[str, Kubectl]
) -> None:
    """A release in a listed namespace is refused while it would run an operator for that namespace, too."""
    helm = Helm(other_namespaces[LISTED].kubeconfig, LISTED)
    install = ["install", "second", str(CHART), "--dry-run=server", "--set", "crds.enabled=false"]
    with pytest.raises(CommandError) as refused:
        helm(*install)
    assert f"{release.object('operator')} in {NAMESPACE} already manages the fleets in {LISTED}" in refused.value.output
    helm(*install, "--set", "operator.enabled=false")


def copy_secret(release: Release, name: str, to: Kubectl) -> None:
    """Copy a Secret of a release to another namespace."""
    secret = release.kubectl.json("get", "secret", name)
    copied = {**secret, "metadata": {"name": name}}
    to("apply", "--filename", "-", stdin=json.dumps(copied))
