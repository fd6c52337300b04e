"""Values that cannot work are refused before anything is installed, with the place and the cause."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import pytest

from charts.generate import CHART
from tests.chart.conftest import Refuse, Render, template

UPGRADE = "upgrade with --reset-then-reuse-values instead of --reuse-values."
PREVIOUS = Path(__file__).parents[2] / "k8s-tests" / "previous"

CREDENTIALS = [f"scout.credentials.{key}=https://x" for key in ("clientId", "clientSecret", "tokenUrl", "endpoint")]


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("scuot.environment=x", "at '': additional properties 'scuot' not allowed"),
        ("broker.external.hots=x", "at '/broker/external': additional properties 'hots' not allowed"),
        ("affinity.nodeAfinity.x=1", "at '/affinity': additional properties 'nodeAfinity' not allowed"),
        ("consumer.replicas=1000000", "at '/consumer/replicas'"),
        ("broker.persistence.size=1", "at '/broker/persistence/size': got number, want string"),
        ("producer.devices=many", "at '/producer/devices': got string, want integer"),
        ("producer.qos=3", "at '/producer/qos': value must be one of 0, 1, 2"),
        ("networkPolicy.enabled=yes please", "at '/networkPolicy/enabled': got string, want boolean"),
        ("scout.credentials.endpoint=otel.example.com", "at '/scout/credentials/endpoint'"),
        ("consumer.resources.limit.cpu=1", "at '/consumer/resources': additional properties 'limit' not allowed"),
        ("broker.persistence.size=big", "at '/broker/persistence/size'"),
        ("collector.image.tag=", "at '/collector/image/tag': '' does not match pattern"),
        ("broker.image.tag=", "at '/broker/image/tag': '' does not match pattern"),
        ("broker.external.host=[::1]:8883", "at '/broker/external/host': '[::1]:8883' does not match pattern"),
        ("broker.external.host=b:8883", "at '/broker/external/host': 'b:8883' does not match pattern"),
        ("operator.namespaces={a,a}", "at '/operator/namespaces': items at 0 and 1 are equal"),
        ("operator.namespaces={iot-*}", "at '/operator/namespaces/0': 'iot-*' does not match pattern"),
        ("scout.environment=2024-11", "at '/scout/environment': '2024-11' does not match pattern"),
        ("scout.environment=.inf", "at '/scout/environment': '.inf' does not match pattern"),
        ("scout.environment=~", "at '/scout/environment': '~' does not match pattern"),
        ("broker.extraConfig=a\rb", "at '/broker/extraConfig': 'a\\rb' does not match pattern"),
        ("scout.environment=eu: prod", "at '/scout/environment': 'eu: prod' does not match pattern"),
        ("echo.image.tag=0.2.0 # x", "at '/echo/image/tag': '0.2.0 # x' does not match pattern"),
        ("echo.image.tag=a\nb: c", "at '/echo/image/tag'"),
        ("broker.image.repository=a: b", "at '/broker/image/repository': 'a: b' does not match pattern"),
        ("broker.image.repository=a/B", "at '/broker/image/repository': 'a/B' does not match pattern"),
        ("broker.image.repository= ", "at '/broker/image/repository'"),
        ("collector.external.endpoint=http://h:4318/otlp #b", "at '/collector/external/endpoint'"),
        ("collector.external.endpoint=http://h:0", "at '/collector/external/endpoint'"),
        ("consumer.echoUrl=http://h:65536", "at '/consumer/echoUrl'"),
        ("broker.external.port=0", "at '/broker/external/port'"),
        ("broker.resources.limits.memory=1", "at '/broker/resources/limits/memory': got number, want string"),
        ("broker.resources.limits.memory=512m", "at '/broker/resources/limits/memory'"),
        ("echo.env.A.valueFrom.a=b", "at '/echo/env/A': additional properties 'valueFrom' not allowed"),
        ("echo.env.A.secretKeyRef.name=b", "at '/echo/env/A/secretKeyRef': missing property 'key'"),
        ("echo.resources.limits.gpu=1", "at '/echo/resources/limits': additional properties 'gpu' not allowed"),
        ("collector.external.endpoint=http://h:4318?x=1", "at '/collector/external/endpoint'"),
        ("collector.exporters.a.endpoint=https://h/otlp?x=1", "at '/collector/exporters/a/endpoint'"),
        ("scout.credentials.endpoint=https://h/otlp#x", "at '/scout/credentials/endpoint'"),
        ("podAnnotations.a b=c", "at '/podAnnotations'"),
        ("echo.service.ipFamilies={IPv6,IPv6}", "at '/echo/service/ipFamilies': items at 0 and 1 are equal"),
        ("broker.service.loadBalancerClass=", "at '/broker/service/loadBalancerClass': '' does not match pattern"),
        ("extraManifests[0].kind=A", "at '/extraManifests/0': missing properties 'apiVersion', 'metadata'"),
    ],
)
def test_an_unknown_or_mistyped_value_is_refused_with_its_path(refuse: Refuse, value: str, complaint: str) -> None:
    """The schema names the place."""
    assert complaint in refuse(value)


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("consumer.replicas=-1", "minimum: got -1, want 0"),
        ("echo.replicas=a", "got string, want null or integer"),
        ("broker.external.port=65536", "maximum: got 65,536, want 65,535"),
        ("echo.env.A={a}", "got array, want null or boolean or number or string or object"),
        ("broker.resources.limits.memory=512mi", "'512mi' does not match pattern"),
        ("echo.resources.requests.memory=1e9", "'1e9' does not match pattern"),
        ("echo.resources.requests.cpu=a", "'a' does not match pattern"),
        ("sampling.ratio=2", "maximum: got 2, want 1"),
        ("echo.podDisruptionBudget.maxUnavailable=101%", "'101%' does not match pattern"),
        ("global.imagePullSecrets[0]=A", "'A' does not match pattern"),
        ("collector.exporters.a.endpoint=", "minLength: got 0, want 1"),
    ],
)
def test_a_refusal_by_the_schema_is_one_line(refuse: Refuse, value: str, complaint: str) -> None:
    """Helm would list every alternative of an `anyOf`, null included."""
    place = value.partition("=")[0].replace("[0]", ".0").replace(".", "/")
    (line,) = (line for line in refuse(value).splitlines() if "- " in line)
    assert line.startswith(f"- at '/{place}': {complaint}")


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        *(
            ([f"{path}.{label}=a"], f"{path} has {label}, which the chart sets: remove it.".replace("\\", ""))
            for path, label in (
                ("commonLabels", "helm\\.sh/chart"),
                ("podLabels", "app\\.kubernetes\\.io/name"),
                ("echo.podLabels", "app\\.kubernetes\\.io/component"),
            )
        ),
        (
            ["broker.resources.limits.memory=31Mi", "broker.resources.requests.memory=16Mi"],
            "broker.resources.limits.memory is 31Mi: Mosquitto needs at least 32Mi.",
        ),
        (
            ["broker.external.host=x", "broker.websockets.enabled=true"],
            (
                "broker.users, broker.extraConfig and broker.websockets are for the chart's own Mosquitto: "
                "broker.external.host replaces it."
            ),
        ),
        (
            ["broker.websockets.enabled=true", "broker.websockets.port=1883"],
            "broker.websockets.port is 1883, on which the broker already listens.",
        ),
        (
            [
                f"broker.users[0].{value}"
                for value in ("name=producer", "passwordSecret.name=a", "passwordSecret.key=b", "acl={topic read #}")
            ],
            "broker.users has producer twice, or it is a user of the chart: choose another name.",
        ),
        (
            ["scout.existingSecret=a", "scout.credentials.clientId=b"],
            "scout.existingSecret and scout.credentials are both set: use only one of them for Scout's credentials.",
        ),
        (
            ["scout.credentials.clientId=b"],
            "scout.credentials.clientSecret is empty: scout-sim needs none of the four credentials, Scout needs all.",
        ),
        (
            [*CREDENTIALS, "scout.credentials.clientSecret=pa$$word"],
            "scout.credentials.clientSecret contains $$ or ${, which the Collector would expand.",
        ),
        (
            [*CREDENTIALS, "scout.credentials.tokenUrl=https://a/${a}"],
            "scout.credentials.tokenUrl contains $$ or ${, which the Collector would expand.",
        ),
        (
            ["scoutSim.clientSecret=pa$$word"],
            "scoutSim.clientSecret contains $$ or ${, which the Collector would expand.",
        ),
        (
            ["broker.external.tls=true"],
            "broker.external.host is empty, but other values of broker.external are set: set the host of the broker.",
        ),
        (
            ["broker.external.host=a", "broker.external.caSecret=b"],
            "broker.external.caSecret is set but broker.external.tls is false: nothing would be encrypted.",
        ),
        (
            ["broker.external.host=a", "broker.external.clientSecret=b"],
            "broker.external.clientSecret is set but broker.external.tls is false: nothing would be encrypted.",
        ),
        (
            ["broker.external.clientSecret=b"],
            "broker.external.host is empty, but other values of broker.external are set: set the host of the broker.",
        ),
        (
            ["broker.external.host=a", "broker.tls.enabled=true"],
            "broker.tls is for the chart's own Mosquitto: with broker.external.host, set broker.external.tls instead.",
        ),
        *(
            (
                ["broker.external.host=a", auth],
                "auth is for the chart's own Mosquitto: with broker.external.host, set broker.external.existingSecret.",
            )
            for auth in ("auth.existingSecret=b", "auth.passwords.producer=b", "auth.passwords.consumer=b")
        ),
        (
            ["broker.tls.existingSecret=a"],
            "broker.tls.existingSecret is set but broker.tls.enabled is false: nothing would be encrypted.",
        ),
        (
            ["auth.existingSecret=a", "auth.passwords.producer=b"],
            "auth.existingSecret and auth.passwords are both set: use only one of them for the broker's passwords.",
        ),
        (
            ["consumer.autoscaling.enabled=true", "consumer.resources=null"],
            "consumer.autoscaling needs consumer.resources.requests.cpu: its target is a percentage of that.",
        ),
        (
            ["consumer.autoscaling.enabled=true", "consumer.autoscaling.minReplicas=9"],
            "consumer.autoscaling.minReplicas is greater than consumer.autoscaling.maxReplicas.",
        ),
        (
            ["consumer.autoscaling.enabled=true", "consumer.replicas=2"],
            "consumer.replicas and consumer.autoscaling are both set: use only one of them.",
        ),
        (
            ["echo.enabled=false"],
            "consumer.echoUrl is empty and echo.enabled is false: the consumer needs one of them to post readings.",
        ),
        (
            ["operator.clusterWide=true", "operator.namespaces={a}"],
            "operator.clusterWide and operator.namespaces are both set: use only one of them.",
        ),
        (
            ["extraManifests[0]=a"],
            "extraManifests[0] is not an object with apiVersion, kind and metadata.name.",
        ),
        (
            ["consumer.image=null"],
            f"consumer.image is missing, which has a default: do not set it to null, and {UPGRADE}",
        ),
        (
            ["collector.external.endpoint=http://a", "scout.existingSecret=b"],
            "collector.external.endpoint replaces the Collector that uses Scout's credentials: set only one of them.",
        ),
        (
            ["brokerMetrics.enabled=true", "broker.external.host=a"],
            "brokerMetrics.enabled is true with broker.external.host: it reads those of the chart's Mosquitto only.",
        ),
        (
            ["monitoring.podMonitor.enabled=true", "collector.external.endpoint=http://a"],
            "monitoring.podMonitor.enabled is true with collector.external.endpoint: have that Collector scraped.",
        ),
    ],
)
def test_values_that_contradict_each_other_are_refused_in_a_sentence(
    refuse: Refuse, values: list[str], complaint: str
) -> None:
    """The first line that Helm prints ends with the sentence."""
    assert refuse(*values).splitlines()[0].endswith(complaint)


@pytest.mark.parametrize(
    "variable",
    [
        "producer.env.HEALTH_HOST",
        "consumer.env.HEALTH_PORT",
        "producer.env.health_port",
        "echo.env.ECHO_PORT",
        "scoutSim.env.SCOUT_SIM_HOST",
        "brokerMetrics.env.HEALTH_PORT",
        "operator.env.HEALTH_PORT",
    ],
)
def test_a_pod_answers_where_its_probes_ask(refuse: Refuse, variable: str) -> None:
    """A variable that would move it is refused, whatever its value."""
    complaint = f"{variable} is reserved for the chart: the pod's probes use it."
    assert refuse(f"{variable}=").splitlines()[0].endswith(complaint)


def test_nothing_at_all_can_be_asked_for(render: Render) -> None:
    """With every part off or somebody else's, nothing is installed and nothing fails."""
    manifests = render(
        "broker.external.host=mqtt.example.com",
        "collector.external.endpoint=https://otel.example.com",
        *(f"{part}.enabled=false" for part in ("producer", "consumer", "echo", "operator", "crds", "networkPolicy")),
    )
    assert manifests == []


@pytest.mark.parametrize("host", ["mqtt.example.com", "192.0.2.1", "2001:db8::1", "::1", "fe80:0:0:0:1:2:3:4"])
def test_an_address_may_have_colons_and_no_port(render: Render, host: str) -> None:
    """A single one is what separates a port, which has a value of its own."""
    text = repr(render(f"broker.external.host={host}"))
    assert f"'MQTT_BROKER_HOST', 'value': '{host}'" in text


def test_reused_values_of_the_previous_chart_are_refused_with_the_way_out(helm: str, tmp_path: Path) -> None:
    """`--reuse-values` replaces the defaults of this chart with those of the previous one."""
    chart = tmp_path / CHART.name
    shutil.copytree(CHART, chart)
    (previous,) = PREVIOUS.glob("mqtt-trace-*.tgz")
    with tarfile.open(previous) as archive:
        values = archive.extractfile("mqtt-trace/values.yaml")
        assert values
        (chart / "values.yaml").write_bytes(values.read())
    assert template(helm, (), chart=chart).stderr.splitlines()[0].endswith(UPGRADE)
