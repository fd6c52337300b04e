"""What the chart promises, held against its renders."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from charts.generate import CHART, EXAMPLES, rendered
from local.mosquitto import Mosquitto
from tests.chart.conftest import Manifest, Render

ROOT = Path(__file__).parents[2]
CREDENTIALS = [f"scout.credentials.{key}=https://x" for key in ("clientId", "clientSecret", "tokenUrl", "endpoint")]
PASSWORDS = ["auth.passwords.producer=a", "auth.passwords.consumer=b", "scoutSim.clientSecret=c"]

by_example = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)


def checked_in(example: Path) -> list[Manifest]:
    """The manifests of an example."""
    return [manifest for manifest in yaml.safe_load_all("".join(rendered(example).values())) if manifest]


def get(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    """One of the manifests, by its name without the release's."""
    (found,) = (m for m in manifests if (m["kind"], m["metadata"]["name"]) == (kind, f"demo-mqtt-trace-{name}"))
    return found


def pods(manifests: list[Manifest]) -> Iterator[Manifest]:
    """Metadata and spec of every pod that comes of the manifests."""
    for manifest in manifests:
        if manifest["kind"] == "Pod":
            yield manifest
        elif manifest["kind"] in ("Deployment", "StatefulSet"):
            yield manifest["spec"]["template"]


def containers(pod: Manifest) -> list[Manifest]:
    """All containers of a pod, those that run first included."""
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def env(workload: Manifest) -> dict[str, Any]:
    """Variables of a workload's own container: text, or where they come from."""
    container, *_ = workload["spec"]["template"]["spec"]["containers"]
    return {variable["name"]: variable.get("value", variable.get("valueFrom")) for variable in container["env"]}


def pod_annotations(manifests: list[Manifest], kind: str, name: str) -> Any:
    """Annotations of a workload's pods."""
    return get(manifests, kind, name)["spec"]["template"]["metadata"]["annotations"]


@by_example
def test_every_pod_keeps_to_the_restricted_standard(example: Path) -> None:
    """Not root, no privileges, a read-only root, and no token of the API server."""
    for pod in pods(checked_in(example)):
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


def test_the_platform_chooses_users_when_told(render: Render) -> None:
    """With null for `podSecurityContext` and the broker's no pod, of a fleet neither, names a user or a group."""
    manifests = render("podSecurityContext=null", "broker.podSecurityContext=null")
    assert [pod["metadata"] for pod in pods(manifests) if "securityContext" in pod["spec"]] == []
    fleet = json.loads(get(manifests, "ConfigMap", "operator")["data"]["pod-template.json"])
    assert "securityContext" not in fleet["spec"]
    for pod in [*pods(manifests), fleet]:
        for container in containers(pod):
            assert container["securityContext"].keys().isdisjoint({"runAsUser", "runAsGroup"})


@by_example
def test_every_pod_has_an_account_of_its_own(example: Path) -> None:
    """The ServiceAccount is there, is shared with no other component, and has no token."""
    manifests = checked_in(example)
    accounts = {m["metadata"]["name"]: m for m in manifests if m["kind"] == "ServiceAccount"}
    used = [pod["spec"]["serviceAccountName"] for pod in pods(manifests)]
    assert sorted(used) == sorted(accounts)
    assert all(account["automountServiceAccountToken"] is False for account in accounts.values())


@by_example
def test_every_container_has_resources_and_probes(example: Path) -> None:
    """Requests and a memory limit everywhere; three probes wherever a component keeps running."""
    manifests = checked_in(example)
    for pod in pods(manifests):
        for container in containers(pod):
            assert set(container["resources"]["requests"]) == {"cpu", "memory"}
            assert "memory" in container["resources"]["limits"]
        if "helm.sh/hook" not in pod["metadata"].get("annotations", {}):
            container, *_ = pod["spec"]["containers"]
            assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container)


@by_example
def test_every_pod_listens_by_ipv6_as_well(example: Path) -> None:
    """No variable binds a service to an address, and no probe goes to one: the defaults are of both families."""
    for pod in pods(checked_in(example)):
        for container in containers(pod):
            names = {variable["name"] for variable in container.get("env", ())}
            assert names.isdisjoint({"ECHO_HOST", "HEALTH_HOST", "SCOUT_SIM_HOST", "COLLECTOR_HOST"})
            probes = [container[key] for key in container if key.endswith("Probe")]
            assert all("host" not in probe.get("httpGet", {}) for probe in probes)


@by_example
def test_every_object_carries_the_labels_of_its_component(example: Path) -> None:
    """The recommended labels of Kubernetes, and selectors that match their own pods only."""
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]
    manifests = checked_in(example)
    for manifest in manifests:
        labels = manifest["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == "demo"
        assert labels["app.kubernetes.io/part-of"] == "mqtt-trace"
        assert labels["helm.sh/chart"] == f"mqtt-trace-{version}"
        if manifest["kind"] in ("Deployment", "StatefulSet"):
            selector = manifest["spec"]["selector"]["matchLabels"]
            own = manifest["spec"]["template"]["metadata"]["labels"]
            matched = [pod for pod in pods(manifests) if selector.items() <= pod["metadata"]["labels"].items()]
            assert [pod["metadata"]["labels"] for pod in matched] == [own]


def test_the_collector_runs_the_production_pipeline(render: Render) -> None:
    """Its configuration is that of the local stack, in which the pipeline is tested, but for volumes and resource."""
    config = yaml.safe_load(get(render(), "ConfigMap", "otel-collector")["data"]["config.yaml"])
    resource = config["service"]["telemetry"].pop("resource")
    local = yaml.safe_load((ROOT / "local" / "collector.yaml").read_text())
    for each in (config, local):
        del each["exporters"]["otlp_http/b14"]["sending_queue"]["queue_size"]
        each["service"]["telemetry"].pop("logs", None)
    assert config == local
    assert {attribute["name"]: attribute["value"] for attribute in resource["attributes"]} == {
        "service.namespace": "mqtt-trace",
        "k8s.pod.name": "${env:K8S_POD_NAME}",
        "k8s.namespace.name": "${env:K8S_NAMESPACE_NAME}",
        "k8s.node.name": "${env:K8S_NODE_NAME}",
    }


def test_mosquitto_has_the_queue_limits_that_are_tested(render: Render, tmp_path: Path) -> None:
    """Those of the local stack's broker, which survive a paused consumer."""
    Mosquitto(folder=tmp_path)
    limits = [line for line in (tmp_path / "mosquitto.conf").read_text().splitlines() if line.startswith("max_")]
    config = get(render(), "ConfigMap", "mosquitto")["data"]["mosquitto.conf"]
    assert limits
    assert set(limits) <= set(config.splitlines())


def test_the_collector_reads_the_four_keys_of_the_named_secret(render: Render) -> None:
    """Each variable comes from its key, and none is optional: an event names the key that is missing."""
    variables = env(get(render("scout.existingSecret=mine"), "StatefulSet", "otel-collector"))
    keys = {
        "SCOUT_CLIENT_ID": "client-id",
        "SCOUT_CLIENT_SECRET": "client-secret",
        "SCOUT_TOKEN_URL": "token-url",
        "SCOUT_OTLP_ENDPOINT": "endpoint",
    }
    expected = {name: {"secretKeyRef": {"name": "mine", "key": key}} for name, key in keys.items()}
    scout = {name: value for name, value in variables.items() if name.startswith("SCOUT_")}
    assert scout == {**expected, "SCOUT_ENVIRONMENT": "iot-demo"}


@pytest.mark.parametrize(
    ("values", "there"), [([], True), (["scout.existingSecret=mine"], False), (CREDENTIALS, False)]
)
def test_scout_sim_is_there_only_without_credentials(render: Render, values: list[str], there: bool) -> None:
    """None of its objects is left when the real Scout is used."""
    assert any("scout-sim" in manifest["metadata"]["name"] for manifest in render(*values)) is there


def test_a_consumers_client_id_is_its_pods_name(render: Render) -> None:
    """So that a replica comes back to its own session; all of them share one subscription."""
    variables = env(get(render(), "StatefulSet", "consumer"))
    assert variables["MQTT_CLIENT_ID"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    assert variables["MQTT_SHARE_GROUP"] == "demo-mqtt-trace"


def test_an_autoscaler_scales_the_consumer(render: Render) -> None:
    """It names the StatefulSet, with the bounds that are given."""
    manifests = render("consumer.autoscaling.enabled=true", "consumer.autoscaling.maxReplicas=9")
    spec = get(manifests, "HorizontalPodAutoscaler", "consumer")["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (1, 9)
    assert spec["scaleTargetRef"]["name"] == get(manifests, "StatefulSet", "consumer")["metadata"]["name"]


@pytest.mark.parametrize(("kind", "name"), [("StatefulSet", "consumer"), ("Deployment", "echo")])
def test_whoever_scales_has_the_replicas_to_himself(render: Render, kind: str, name: str) -> None:
    """Unless a number is given, 0 included, the chart sets none that an upgrade would put back."""
    assert "replicas" not in get(render(), kind, name)["spec"]
    assert get(render(f"{name}.replicas=0"), kind, name)["spec"]["replicas"] == 0


def test_a_variable_of_ones_own_replaces_the_charts(render: Render) -> None:
    """Once, as text, also when it is empty or a number."""
    manifests = render("consumer.env.MQTT_SHARE_GROUP=", "consumer.env.RECEIVE_MAXIMUM=1000000")
    (container,) = get(manifests, "StatefulSet", "consumer")["spec"]["template"]["spec"]["containers"]
    values = [v for v in container["env"] if v["name"] in ("MQTT_SHARE_GROUP", "RECEIVE_MAXIMUM")]
    assert values == [{"name": "MQTT_SHARE_GROUP", "value": ""}, {"name": "RECEIVE_MAXIMUM", "value": "1000000"}]


def test_generated_secrets_do_not_roll_pods(render: Render) -> None:
    """Two renders have different passwords and the same pods."""
    one, two = render(), render()
    assert get(one, "Secret", "auth") != get(two, "Secret", "auth")
    assert list(pods(one)) == list(pods(two))


def test_what_is_given_rolls_the_pods_that_use_it(render: Render) -> None:
    """A new password, credential or environment changes the annotations of exactly those pods."""
    before = render(*PASSWORDS)
    password = render(*PASSWORDS, "auth.passwords.producer=new")
    for kind, name in (("StatefulSet", "mosquitto"), ("StatefulSet", "consumer"), ("Deployment", "producer")):
        assert pod_annotations(before, kind, name) != pod_annotations(password, kind, name)
    assert pod_annotations(before, "StatefulSet", "otel-collector") == pod_annotations(
        password, "StatefulSet", "otel-collector"
    )
    one, two = render(*CREDENTIALS), render(*CREDENTIALS, "scout.credentials.clientSecret=new")
    assert pod_annotations(one, "StatefulSet", "otel-collector") != pod_annotations(
        two, "StatefulSet", "otel-collector"
    )


def test_a_new_secret_of_scout_sim_rolls_the_collector(render: Render) -> None:
    """It would go on with the old one, which is refused."""
    one, two = render("scoutSim.clientSecret=one"), render("scoutSim.clientSecret=two")
    for name in ("otel-collector", "scout-sim"):
        assert pod_annotations(one, "StatefulSet", name) != pod_annotations(two, "StatefulSet", name)


def test_a_change_of_the_brokers_configuration_rolls_it(render: Render) -> None:
    """With TLS it listens elsewhere, and so it has to start again."""
    plain, tls = render(*PASSWORDS), render(*PASSWORDS, "broker.tls.enabled=true")
    assert pod_annotations(plain, "StatefulSet", "mosquitto") != pod_annotations(tls, "StatefulSet", "mosquitto")


def test_a_new_version_rolls_no_pod_that_it_changes_nothing_of(render: Render, tmp_path: Path) -> None:
    """An upgrade to the next release of the same chart leaves the broker running."""
    newer = tmp_path / "mqtt-trace"
    shutil.copytree(CHART, newer)
    released = yaml.safe_load((newer / "Chart.yaml").read_text()) | {"version": "99.0.0", "appVersion": "99.0.0"}
    (newer / "Chart.yaml").write_text(yaml.safe_dump(released))
    before, after = render(), render(chart=newer)
    old, new = get(before, "StatefulSet", "mosquitto"), get(after, "StatefulSet", "mosquitto")
    assert old["metadata"]["labels"] != new["metadata"]["labels"]
    assert old["spec"] == new["spec"]


def test_the_generated_certificate_is_for_the_brokers_service(render: Render) -> None:
    """Clients trust its authority, and reach it by a name that it has."""
    manifests = render("broker.tls.enabled=true")
    secret = get(manifests, "Secret", "mosquitto-tls")
    assert all(
        base64.b64decode(secret["data"][key]).startswith(b"-----BEGIN") for key in ("ca.crt", "tls.crt", "tls.key")
    )
    variables = env(get(manifests, "Deployment", "producer"))
    assert variables["MQTT_BROKER_HOST"] == get(manifests, "Service", "mosquitto")["metadata"]["name"]
    assert (variables["MQTT_TLS"], variables["MQTT_BROKER_PORT"]) == ("true", "8883")


@pytest.mark.parametrize(("values", "port"), [([], "1883"), (["tls=true"], "8883"), (["port=1234"], "1234")])
def test_an_external_broker_is_reached_on_its_port(render: Render, values: list[str], port: str) -> None:
    """The port that is given, or the usual one; by port only may the pods leave for it."""
    external = [f"broker.external.{value}" for value in ("host=mqtt.example.com", *values)]
    manifests = render(*external)
    assert env(get(manifests, "Deployment", "producer"))["MQTT_BROKER_PORT"] == port
    egress = get(manifests, "NetworkPolicy", "producer")["spec"]["egress"]
    assert {"ports": [{"port": int(port), "protocol": "TCP"}]} in egress
    assert not any("mosquitto" in manifest["metadata"]["name"] for manifest in manifests)


def test_volumes_go_with_the_release(render: Render) -> None:
    """Every claim is removed when its StatefulSet is."""
    claims = [m["spec"] for m in render() if "volumeClaimTemplates" in m.get("spec", {})]
    assert len(claims) == 3
    assert all(spec["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == "Delete" for spec in claims)


def test_nothing_goes_in_or_out_that_no_policy_allows(render: Render) -> None:
    """The default policy denies both ways for every pod of the release, the test's included."""
    manifests = render()
    policy = get(manifests, "NetworkPolicy", "default-deny")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert not {"ingress", "egress"} & policy.keys()
    selector = policy["podSelector"]["matchLabels"]
    assert all(selector.items() <= pod["metadata"]["labels"].items() for pod in pods(manifests))


@pytest.mark.parametrize("component", ["mosquitto", "otel-collector", "scout-sim", "echo"])
def test_a_pod_gets_in_with_a_label_only(render: Render, component: str) -> None:
    """Ingress is from pods that carry the access label, on named ports."""
    (rule,) = get(render(), "NetworkPolicy", component)["spec"]["ingress"]
    (source,) = rule["from"]
    ((label, value),) = source["podSelector"]["matchLabels"].items()
    assert label.startswith("mqtt-trace.io/access-")
    assert value == "true"
    assert rule["ports"]


@pytest.mark.parametrize(
    ("url", "port"),
    [("https://echo.example.com/a", 443), ("http://echo/", 80), ("http://[::1]:81/a", 81), ("http://echo:8080", 8080)],
)
def test_an_echo_elsewhere_is_reached_on_the_port_of_its_address(render: Render, url: str, port: int) -> None:
    """The port in the address, or that of its scheme."""
    egress = get(render(f"consumer.echoUrl={url}"), "NetworkPolicy", "consumer")["spec"]["egress"]
    assert {"ports": [{"port": port, "protocol": "TCP"}]} in egress
