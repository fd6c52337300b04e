"""What each component and all pods may be given: it reaches the right pods, and no others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from charts.schema import source
from local.needed import skip_without
from tests.chart.component_values import (
    ALL_PODS,
    PODS,
    Values,
    component_settings,
    contains,
    parts,
    pods_of,
    settings,
)
from tests.chart.conftest import HELMS, Manifest, template

RenderValues = Callable[[Values], list[Manifest]]

PERSISTENT = {"broker": "mosquitto", "collector": "otel-collector", "scoutSim": "scout-sim"}
DISRUPTED = {"collector": "otel-collector", "consumer": "consumer", "echo": "echo"}
DUAL_STACK = {"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6", "IPv4"]}
PERSISTENCE = {
    "size": "3Gi",
    "storageClass": "fast",
    "accessModes": ["ReadWriteOncePod"],
    "annotations": {"example.com/backup": "daily"},
    "retentionPolicy": "Retain",
}


@pytest.fixture(scope="module", params=HELMS)
def render_values(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> RenderValues:
    """Render the chart with a map of values; returns its manifests."""
    skip_without(request.param)

    def rendered(values: Values) -> list[Manifest]:
        file: Path = tmp_path_factory.mktemp("values") / "values.yaml"
        file.write_text(yaml.safe_dump(values))
        done = template(request.param, (), "--values", str(file))
        assert done.returncode == 0, done.stderr
        return [manifest for manifest in yaml.load_all(done.stdout, yaml.CSafeLoader) if manifest]

    return rendered


@pytest.fixture(scope="module")
def by_component(render_values: RenderValues) -> list[Manifest]:
    """Manifests where every component has all settings of its own."""
    values = {name: settings(f"of-{name}") | component_settings(f"of-{name}") for name in PODS}
    values["operator"]["serviceAccount"] |= {"annotations": {"example.com/role": "reader"}}
    values["echo"]["service"] = {"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv6"]}
    values["brokerMetrics"]["enabled"] = True
    for component in PERSISTENT:
        values[component]["persistence"] = PERSISTENCE
    for component in DISRUPTED:
        values[component]["podDisruptionBudget"] = {"enabled": True, "maxUnavailable": "25%"}
    return render_values({**values, "service": DUAL_STACK})


@pytest.fixture(scope="module")
def for_all(render_values: RenderValues) -> list[Manifest]:
    """Manifests where all pods have all settings together."""
    extra = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "map", "namespace": "theirs"}},
        "{apiVersion: v1, kind: Secret, metadata: {name: '{{ .Release.Name }}-text', namespace: theirs}}",
    ]
    common = {"commonLabels": {"example.com/team": "of-all"}, "namespaceOverride": "elsewhere", "extraManifests": extra}
    return render_values({**settings("of-all"), **common, "brokerMetrics": {"enabled": True}})


@pytest.fixture(scope="module")
def with_nothing(render_values: RenderValues) -> dict[str, Manifest]:
    """The pods where every component has null for all that all pods have, and for its probes."""
    nothing = dict.fromkeys([*settings(""), "startupProbe", "readinessProbe", "livenessProbe"])
    # Null for what has a default in values.yaml is that of all pods.
    values = {name: nothing for name in PODS if name != "broker"} | {"brokerMetrics": {**nothing, "enabled": True}}
    return pods_of(render_values({**settings("of-all"), **values}))


@pytest.fixture(scope="module")
def without(render_values: RenderValues) -> list[Manifest]:
    """Manifests without what the chart has by itself: users, volumes, an account."""
    return render_values(
        {
            "podSecurityContext": None,
            "broker": {"podSecurityContext": None, "persistence": {"existingClaim": "mine"}},
            "collector": {"persistence": {"existingClaim": "mine"}},
            "scoutSim": {"persistence": {"enabled": False}},
            "echo": {"serviceAccount": {"create": False}},
        }
    )


def test_every_setting_of_the_schema_is_tested() -> None:
    """A new setting gets its row in these tests."""
    definitions = source()["definitions"]
    assert set(settings("x")) == set(definitions["podSettings"]["properties"])
    assert set(settings("x") | component_settings("x")) == set(definitions["componentSettings"]["properties"])


@pytest.mark.parametrize("name", [*settings(""), *component_settings("")])
def test_a_setting_of_a_component_is_in_its_pods_and_no_others(by_component: list[Manifest], name: str) -> None:
    """The producer's are in the pods of fleets, too, except for the account, which other namespaces do not have."""
    pods = pods_of(by_component)
    assert set(pods) == ALL_PODS
    expected = {component: set(own) for component, own in PODS.items()}
    if name == "image":
        expected["producer"].add("test")  # its image has the command of `helm test`
    if name == "serviceAccount":
        expected["producer"].remove("fleet")
    for component, own in expected.items():
        given = (settings(f"of-{component}") | component_settings(f"of-{component}"))[name]
        assert {pod for pod in pods if contains(parts(pods[pod])[name], given)} == own, component


@pytest.mark.parametrize("name", settings(""))
def test_a_setting_of_all_pods_is_in_every_pod(for_all: list[Manifest], name: str) -> None:
    """The pods of fleets and of `helm test` are pods like any other."""
    pods = pods_of(for_all)
    assert set(pods) == ALL_PODS
    assert [pod for pod in pods if not contains(parts(pods[pod])[name], settings("of-all")[name])] == []


def test_a_common_label_is_on_every_object_and_pod(for_all: list[Manifest]) -> None:
    """Objects of `extraManifests` have the labels that they bring."""
    own = [m for m in for_all if m["metadata"].get("namespace") != "theirs"]
    labelled = [*own, *pods_of(for_all).values()]
    assert [m for m in labelled if m["metadata"]["labels"].get("example.com/team") != "of-all"] == []


def test_the_charts_own_containers_all_have_the_security_context(by_component: list[Manifest]) -> None:
    """Mosquitto's init container, too; containers from values bring their own."""
    broker = pods_of(by_component)["mosquitto"]["spec"]
    assert [container["name"] for container in broker["initContainers"]] == ["before", "access", "queue"]
    given = settings("of-broker")["securityContext"]
    assert contains(broker["initContainers"][1]["securityContext"], given)
    assert "securityContext" not in broker["initContainers"][0]


def test_an_action_of_a_probe_replaces_the_charts(by_component: list[Manifest]) -> None:
    """Kubernetes refuses a probe with two actions."""
    for component, pod in pods_of(by_component).items():
        probe = pod["spec"]["containers"][0].get("livenessProbe", {})
        assert len({"exec", "httpGet", "tcpSocket", "grpc"} & probe.keys()) == (component != "test")


def test_an_account_has_the_name_and_annotations_of_its_component(by_component: list[Manifest]) -> None:
    """The operator's may do what it has to under any name."""
    accounts = {m["metadata"]["name"]: m["metadata"] for m in by_component if m["kind"] == "ServiceAccount"}
    assert set(accounts) == {*(f"of-{component}".lower() for component in PODS), "demo-mqtt-trace-test"}
    assert accounts["of-operator"]["annotations"] == {"example.com/role": "reader"}
    (binding,) = (m for m in by_component if m["kind"] == "RoleBinding")
    assert [subject["name"] for subject in binding["subjects"]] == ["of-operator"]


def test_an_account_is_not_created_when_it_must_not_be(without: list[Manifest]) -> None:
    """Without a name of yours, the pod then uses the namespace's default account."""
    assert "demo-mqtt-trace-echo" not in {m["metadata"]["name"] for m in without if m["kind"] == "ServiceAccount"}
    assert pods_of(without)["echo"]["spec"]["serviceAccountName"] == "default"


def test_maps_are_merged_and_lists_replaced(render_values: RenderValues) -> None:
    """Null removes what all pods have, false and 0 are values."""
    pods = pods_of(
        render_values(
            {
                "podLabels": {"example.com/one": "all", "example.com/two": "all"},
                "nodeSelector": {"example.com/one": "all"},
                "tolerations": [{"key": "all"}],
                "podSecurityContext": {"runAsUser": 1000690000},
                "echo": {
                    "podLabels": {"example.com/one": None, "example.com/two": "echo"},
                    "nodeSelector": None,
                    "tolerations": [{"key": "echo"}],
                    "podSecurityContext": {"runAsUser": None, "fsGroup": 0, "runAsNonRoot": False},
                    "securityContext": {"readOnlyRootFilesystem": False},
                    "env": {"OTEL_SERVICE_NAME": None, "A": None},
                    "envFrom": None,
                    "sidecars": None,
                    "livenessProbe": None,
                    "terminationGracePeriodSeconds": 0,
                },
                "consumer": {"podSecurityContext": None, "securityContext": None, "tolerations": []},
            }
        )
    )
    echo, consumer, producer = (parts(pods[name]) for name in ("echo", "consumer", "producer"))
    assert "example.com/one" not in echo["podLabels"]
    assert echo["podLabels"]["example.com/two"] == "echo"
    assert (echo["nodeSelector"], producer["nodeSelector"]) == (None, {"example.com/one": "all"})
    assert echo["tolerations"] == [{"key": "echo"}]
    assert {"OTEL_SERVICE_NAME", "A"}.isdisjoint(echo["env"])
    assert echo["podSecurityContext"] == {
        "runAsNonRoot": False,
        "runAsGroup": 10001,
        "fsGroup": 0,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert producer["podSecurityContext"]["runAsUser"] == 1000690000
    assert echo["securityContext"]["readOnlyRootFilesystem"] is False
    assert (echo["livenessProbe"], echo["terminationGracePeriodSeconds"]) == (None, 0)
    assert [consumer[name] for name in ("podSecurityContext", "securityContext", "tolerations")] == [None, None, None]


@pytest.mark.parametrize("name", settings(""))
def test_null_removes_what_all_pods_have(with_nothing: dict[str, Manifest], name: str) -> None:
    """Each setting of all pods, from every component."""
    given = settings("of-all")[name]
    has = {pod for pod, manifest in with_nothing.items() if contains(parts(manifest)[name], given)}
    assert has == {"mosquitto", "test"}


def test_null_turns_probes_off(with_nothing: dict[str, Manifest]) -> None:
    """All three, for programs that a debugger stops."""
    containers = {pod: manifest["spec"]["containers"][0] for pod, manifest in with_nothing.items()}
    assert {pod for pod, container in containers.items() if any("Probe" in name for name in container)} == {"mosquitto"}


def test_the_platform_may_choose_all_users(without: list[Manifest]) -> None:
    """With the two contexts that the values name set to null, no pod asks for a user or a group."""
    assert [name for name, pod in pods_of(without).items() if "securityContext" in pod["spec"]] == []


def test_a_budget_of_each_component_selects_its_pods(by_component: list[Manifest]) -> None:
    """A percentage limits evictions."""
    budgets = {m["metadata"]["name"]: m["spec"] for m in by_component if m["kind"] == "PodDisruptionBudget"}
    assert set(budgets) == {f"demo-mqtt-trace-{pod}" for pod in DISRUPTED.values()}
    for pod in DISRUPTED.values():
        spec = budgets[f"demo-mqtt-trace-{pod}"]
        assert spec["maxUnavailable"] == "25%"
        assert contains(pods_of(by_component)[pod]["metadata"]["labels"], spec["selector"]["matchLabels"])


def test_the_address_families_are_those_of_every_service(by_component: list[Manifest]) -> None:
    """Headless ones included; a component's own replace them."""
    services = {
        m["metadata"]["name"].removeprefix("demo-mqtt-trace-"): m["spec"]
        for m in by_component
        if m["kind"] == "Service"
    }
    assert set(services) == {"mosquitto", "otel-collector", "otel-collectors", "scout-sim", "echo", "consumer"}
    assert [name for name, spec in services.items() if not contains(spec, DUAL_STACK)] == ["echo"]
    assert (services["echo"]["ipFamilyPolicy"], services["echo"]["ipFamilies"]) == ("SingleStack", ["IPv6"])


def test_a_volume_is_claimed_as_its_values_say(by_component: list[Manifest]) -> None:
    """Access modes, annotations, class and size are the claim's; retention is the StatefulSet's."""
    sets = {m["metadata"]["name"]: m["spec"] for m in by_component if m["kind"] == "StatefulSet"}
    for pod in PERSISTENT.values():
        spec = sets[f"demo-mqtt-trace-{pod}"]
        assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
        (claim,) = spec["volumeClaimTemplates"]
        assert claim["metadata"]["annotations"] == PERSISTENCE["annotations"]
        assert claim["spec"] == {
            "accessModes": ["ReadWriteOncePod"],
            "storageClassName": "fast",
            "resources": {"requests": {"storage": "3Gi"}},
        }


def test_a_volume_of_another_origin_is_not_claimed(without: list[Manifest]) -> None:
    """An existing claim is mounted, and without persistence the data goes with the pod."""
    assert [m["metadata"]["name"] for m in without if "volumeClaimTemplates" in m.get("spec", {})] == []
    mine = {"name": "data", "persistentVolumeClaim": {"claimName": "mine"}}
    volumes = {"mosquitto": mine, "otel-collector": mine, "scout-sim": {"name": "data", "emptyDir": {}}}
    assert [pod for pod, volume in volumes.items() if volume not in pods_of(without)[pod]["spec"]["volumes"]] == []


def test_everything_is_in_the_namespace_that_replaces_the_releases(for_all: list[Manifest]) -> None:
    """Objects of the cluster have none; further manifests keep the one that they name."""
    by_namespace = {m["metadata"].get("namespace") for m in for_all}
    assert by_namespace == {"elsewhere", "theirs", None}
    names = {m["metadata"]["name"] for m in for_all if m["metadata"].get("namespace") == "theirs"}
    assert names == {"map", "demo-text"}
    assert {m["kind"] for m in for_all if "namespace" not in m["metadata"]} == {"CustomResourceDefinition"}
