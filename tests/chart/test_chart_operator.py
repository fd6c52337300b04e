"""What the operator may do, and the pods that the chart wants fleets to have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from charts.generate import CHART
from tests.chart.conftest import Manifest, Render

ROOT = Path(__file__).parents[2]

_NAME = "demo-mqtt-trace-operator"


def get(manifests: list[Manifest], kind: str, name: str = _NAME) -> Manifest:
    """The only manifest of this kind and name."""
    (found,) = (m for m in manifests if (m["kind"], m["metadata"]["name"]) == (kind, name))
    return found


def pod_template(manifests: list[Manifest]) -> Manifest:
    """The pod template of fleets in the operator's ConfigMap."""
    template: Manifest = json.loads(get(manifests, "ConfigMap")["data"]["pod-template.json"])
    return template


def crd(manifests: list[Manifest]) -> Manifest:
    """The CRD of SensorFleet."""
    return get(manifests, "CustomResourceDefinition", "sensorfleets.mqtt-trace.io")


def env(pod: Mapping[str, Any]) -> dict[str, Any]:
    """Variables of a pod's container: text, or where they come from."""
    (container,) = pod["spec"]["containers"]
    return {variable["name"]: variable.get("value", variable.get("valueFrom")) for variable in container["env"]}


def test_the_operator_may_do_what_it_does_and_no_more(render: Render) -> None:
    """In the release's namespace it reads fleets, makes their children, and deletes nothing."""
    manifests = render()
    rules = {
        f"{rule['apiGroups'][0]}/{rule['resources'][0]}": rule["verbs"] for rule in get(manifests, "Role")["rules"]
    }
    assert rules == {
        "mqtt-trace.io/sensorfleets": ["get", "list", "watch"],
        "mqtt-trace.io/sensorfleets/status": ["patch"],
        "apps/statefulsets": ["get", "list", "watch", "create", "patch"],
        "/configmaps": ["get", "list", "watch", "create", "patch"],
        "/pods": ["list", "watch", "patch"],
        "/events": ["list", "create"],
    }
    (subject,) = get(manifests, "RoleBinding")["subjects"]
    assert subject == {"kind": "ServiceAccount", "name": _NAME, "namespace": "iot"}
    assert not [m for m in manifests if m["kind"].startswith("ClusterRole")]


def test_it_may_do_the_same_everywhere_when_asked_to(render: Render) -> None:
    """With `operator.clusterWide` the rules are those of a ClusterRole, and no namespace is named."""
    here, everywhere = render(), render("operator.clusterWide=true")
    name = f"iot:{_NAME}"
    assert get(everywhere, "ClusterRole", name)["rules"] == get(here, "Role")["rules"]
    assert get(everywhere, "ClusterRoleBinding", name)["roleRef"]["name"] == name
    assert not [m for m in everywhere if m["kind"] in ("Role", "RoleBinding")]
    assert env(get(here, "Deployment")["spec"]["template"])["WATCH_NAMESPACE"] == "iot"
    assert "WATCH_NAMESPACE" not in env(get(everywhere, "Deployment")["spec"]["template"])


def test_fleets_elsewhere_find_the_broker_and_get_in(render: Render) -> None:
    """With `operator.clusterWide` names resolve from every namespace, and policies let fleets of all in."""
    manifests = render("operator.clusterWide=true")
    variables = env(pod_template(manifests))
    assert variables["MQTT_BROKER_HOST"] == "demo-mqtt-trace-mosquitto.iot"
    assert variables["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://demo-mqtt-trace-otel-collector.iot:4318"
    for component in ("mosquitto", "otel-collector"):
        (rule,) = get(manifests, "NetworkPolicy", f"demo-mqtt-trace-{component}")["spec"]["ingress"]
        assert {} in [source.get("namespaceSelector") for source in rule["from"]]


def test_fleets_elsewhere_have_the_variables_of_the_producer(render: Render) -> None:
    """An endpoint of the values wins, and null removes a variable there, too."""
    given = ("producer.env.OTEL_EXPORTER_OTLP_ENDPOINT=http://mine", "producer.env.OTEL_SERVICE_NAME=null")
    variables = env(pod_template(render("operator.clusterWide=true", *given)))
    assert variables["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://mine"
    assert "OTEL_SERVICE_NAME" not in variables


def test_it_may_do_the_same_in_the_namespaces_of_a_list(render: Render) -> None:
    """With `operator.namespaces` each has a Role and a RoleBinding, and the operator watches exactly these."""
    manifests = render("operator.namespaces={plant,iot,field}")
    rules = get(render(), "Role")["rules"]
    for namespace, name in {"plant": f"iot:{_NAME}", "iot": _NAME, "field": f"iot:{_NAME}"}.items():
        role, binding = (
            next(m for m in manifests if (m["kind"], m["metadata"].get("namespace")) == (kind, namespace))
            for kind in ("Role", "RoleBinding")
        )
        assert (role["metadata"]["name"], role["rules"]) == (name, rules)
        assert binding["roleRef"]["name"] == name
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": _NAME, "namespace": "iot"}]
    assert len([m for m in manifests if m["kind"] in ("Role", "RoleBinding")]) == 6
    assert not [m for m in manifests if m["kind"].startswith("ClusterRole")]
    assert env(get(manifests, "Deployment")["spec"]["template"])["WATCH_NAMESPACE"] == "plant,iot,field"


def test_only_the_namespaces_of_the_list_get_in(render: Render) -> None:
    """With `operator.namespaces` names resolve from other namespaces, and policies let in the fleets of these alone."""
    manifests = render("operator.namespaces={plant,field}")
    variables = env(pod_template(manifests))
    assert variables["MQTT_BROKER_HOST"] == "demo-mqtt-trace-mosquitto.iot"
    assert variables["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://demo-mqtt-trace-otel-collector.iot:4318"
    listed = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["plant", "field"]}
    for component in ("mosquitto", "otel-collector"):
        (rule,) = get(manifests, "NetworkPolicy", f"demo-mqtt-trace-{component}")["spec"]["ingress"]
        selectors = [source.get("namespaceSelector") for source in rule["from"]]
        assert selectors == [None, {"matchExpressions": [listed]}]
    *_, to_fleets = get(manifests, "NetworkPolicy")["spec"]["egress"]
    assert to_fleets["to"][0]["namespaceSelector"] == {"matchExpressions": [listed]}


def test_a_list_of_the_releases_namespace_alone_changes_nothing(render: Render) -> None:
    """`operator.namespaces` with only the release's namespace is the default."""
    same, default = (
        [m for m in made if m["kind"] != "Secret"] for made in (render("operator.namespaces={iot}"), render())
    )
    assert same == default


def test_the_binding_is_for_the_account_of_the_operator(render: Render) -> None:
    """With `operator.serviceAccount.name` the binding names that account."""
    manifests = render("operator.serviceAccount.name=mine")
    assert get(manifests, "RoleBinding")["subjects"][0]["name"] == "mine"
    assert get(manifests, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"] == "mine"


def test_one_operator_runs_at_a_time(render: Render) -> None:
    """The old one ends before the new one starts."""
    spec = get(render(), "Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_only_the_operator_has_a_token(render: Render) -> None:
    """It is mounted into its pod explicitly, in no other, and in none of a fleet."""
    manifests = render()
    tokens = [m["metadata"]["name"] for m in manifests if "serviceAccountToken" in json.dumps(m.get("spec", {}))]
    assert tokens == [_NAME]
    assert pod_template(manifests)["spec"]["automountServiceAccountToken"] is False


def test_a_fleets_pods_are_like_the_charts_own_producer(render: Render) -> None:
    """Image, broker, telemetry, security, probes and resources are the same; only the device is not."""
    values = ["broker.tls.enabled=true", "producer.env.LOG_LEVEL=DEBUG", "global.imageRegistry=registry.example.com"]
    manifests = render(*values)
    theirs = pod_template(manifests)
    ours = get(manifests, "Deployment", "demo-mqtt-trace-producer")["spec"]["template"]
    devices = {"DEVICE_ID", "DEVICE_COUNT", "PUBLISH_INTERVAL_S", "PUBLISH_QOS"}
    assert env(theirs) == {name: value for name, value in env(ours).items() if name not in devices}
    (their_container,), (our_container,) = theirs["spec"]["containers"], ours["spec"]["containers"]
    assert their_container.keys() == our_container.keys()
    for part in our_container.keys() - {"env", "ports"}:
        assert their_container[part] == our_container[part], part
    same = ours["spec"].keys() - {"containers", "serviceAccountName"}
    assert {key: theirs["spec"][key] for key in same} == {key: ours["spec"][key] for key in same}
    access = {"mqtt-trace.io/access-broker": "true", "mqtt-trace.io/access-collector": "true"}
    assert access.items() <= theirs["metadata"]["labels"].items()


def test_a_change_of_the_pods_of_fleets_restarts_the_operator(render: Render) -> None:
    """It reads the template once, when it starts."""
    one, two = (
        get(render(*values), "Deployment")["spec"]["template"]["metadata"]["annotations"]
        for values in ([], ["producer.env.LOG_LEVEL=DEBUG"])
    )
    assert one != two


def test_the_operator_reaches_the_pods_of_fleets_and_nobody_else_does(render: Render) -> None:
    """Their health port is open to it alone, and its own way out ends there, at the API server and the Collector."""
    manifests = render()
    (rule,) = get(manifests, "NetworkPolicy", "demo-mqtt-trace-fleet")["spec"]["ingress"]
    (source,) = rule["from"]
    own = get(manifests, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert source["podSelector"]["matchLabels"].items() <= own.items()
    policy = get(manifests, "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Egress"]
    assert [sorted(str(port["port"]) for port in way["ports"]) for way in policy["egress"]] == [
        ["53", "53", "5353", "5353"],
        ["443", "6443"],
        ["4317", "4318"],
        ["health"],
    ]


def test_the_crd_outlives_the_release_unless_told_otherwise(render: Render) -> None:
    """Helm keeps it, and with it every fleet, while `crds.keep` is true."""
    policy = "helm.sh/resource-policy"
    assert crd(render())["metadata"]["annotations"][policy] == "keep"
    assert policy not in crd(render("crds.keep=false"))["metadata"].get("annotations", {})
    assert not [m for m in render("crds.enabled=false") if m["kind"] == "CustomResourceDefinition"]


def fields(properties: Manifest, path: str) -> Iterator[tuple[str, Manifest]]:
    """The fields of an object and of the objects in it, with their paths."""
    for name, field in properties.items():
        yield f"{path}.{name}", field
        inner = field.get("items", field)
        yield from fields(inner.get("properties", {}), f"{path}.{name}")


def test_every_field_of_a_fleet_is_described() -> None:
    """`kubectl explain` has a sentence for each."""
    golden = CHART / "examples" / "default" / "rendered" / "operator" / "crd.yaml"
    (version,) = yaml.safe_load(golden.read_text())["spec"]["versions"]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    for path, field in fields(spec, "spec"):
        assert field["description"].endswith("."), path


@pytest.mark.parametrize(
    ("quantity", "taken"),
    [
        ("500m", True),
        ("0.125", True),
        ("1.5Gi", True),
        ("999999999999", True),
        ("7Ei", True),
        ("9" * 23, False),
        ("9999999Gi", False),
        ("8Ei", False),
        ("0.0001", False),
        ("1.5m", False),
        ("1e3", False),
    ],
)
def test_a_fleets_resources_are_stored_as_they_are_written(render: Render, quantity: str, taken: bool) -> None:
    """Kubernetes cuts what is more than 2^63 off, and writes what is finer than a thousandth in units that few read."""
    (version,) = crd(render())["spec"]["versions"]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    for part in ("requests", "limits"):
        pattern = spec["resources"]["properties"][part]["additionalProperties"]["pattern"]
        assert (re.search(pattern, quantity) is not None) is taken


def test_the_example_is_a_fleet_that_the_notes_speak_of() -> None:
    """It is called demo and has fewer sensors than it is scaled to."""
    fleet = yaml.safe_load((ROOT / "examples" / "fleet.yaml").read_text())
    assert (fleet["kind"], fleet["metadata"]) == ("SensorFleet", {"name": "demo"})
    assert fleet["spec"]["replicas"] < 250
    assert "scale fleet/demo --replicas=250" in (CHART / "templates" / "NOTES.txt").read_text()


def test_the_chart_renders_no_fleet(render: Render) -> None:
    """A fleet is the user's to apply."""
    assert not [m for m in render() if m["kind"] == "SensorFleet"]
