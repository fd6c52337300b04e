"""Settings of components that Kubernetes would refuse, or take in part, are refused before anything is installed."""

from __future__ import annotations

import pytest

from tests.chart.conftest import Refuse, Render

OUTSIDE = "NodePort or LoadBalancer"
DUAL = "ipFamilyPolicy to PreferDualStack or RequireDualStack."


@pytest.mark.parametrize(
    ("part", "values", "setting", "kind", "needed"),
    [
        ("broker", "externalTrafficPolicy=Local", "externalTrafficPolicy", "ClusterIP", OUTSIDE),
        ("scoutSim", "type=ClusterIP,nodePort=30000", "nodePort", "ClusterIP", OUTSIDE),
        ("echo", "loadBalancerClass=a", "loadBalancerClass", "ClusterIP", "LoadBalancer"),
        (
            "collector",
            "type=NodePort,loadBalancerSourceRanges[0]=192.0.2.0/24",
            *("loadBalancerSourceRanges", "NodePort", "LoadBalancer"),
        ),
    ],
)
def test_a_service_has_the_type_that_its_settings_need(
    refuse: Refuse, part: str, values: str, setting: str, kind: str, needed: str
) -> None:
    """The sentence names the setting and the types that have it."""
    given = [f"{part}.service.{value}" for value in values.split(",")]
    complaint = f"{part}.service.{setting} is set, but {part}.service.type is {kind}: set it to {needed}."
    assert refuse(*given).splitlines()[0].endswith(complaint)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        (
            ["broker.service.ipFamilies={IPv6,IPv4}"],
            f"broker.service.ipFamilies has two families: set broker.service.{DUAL}",
        ),
        (
            ["service.ipFamilies={IPv6,IPv4}", "service.ipFamilyPolicy=SingleStack"],
            f"service.ipFamilies has two families: set service.{DUAL}",
        ),
        (
            ["consumer.serviceAccount.name=iot", "echo.serviceAccount.name=iot"],
            "serviceAccount.name is iot, which another component creates: set consumer.serviceAccount.create to false.",
        ),
        (
            [f"networkPolicy.prometheus.{peer}Selector=null" for peer in ("pod", "namespace")]
            + ["monitoring.podMonitor.enabled=true"],
            "networkPolicy.prometheus is empty: name the pods or the namespace of Prometheus, or {} for all of either.",
        ),
        (
            ["enabled=false"],
            "in Chart.yaml of the chart that depends on this one, add `condition: <name>.enabled`.",
        ),
        (
            ["scoutSim.persistence.existingClaim=a", "scoutSim.persistence.enabled=false"],
            "existingClaim is set, but scoutSim.persistence.enabled is false: nothing would use it.",
        ),
        (
            ["collector.persistence.existingClaim=a", "collector.replicas=2"],
            "existingClaim is one volume, which Collectors cannot share: set collector.replicas to 1.",
        ),
        (
            ["echo.extraVolumeMounts[0].name=a", "echo.extraVolumeMounts[0].mountPath=/a"],
            "echo.extraVolumeMounts has a, which is no volume of the pod: add it to echo.extraVolumes.",
        ),
        (
            ["broker.extraVolumeMounts[0].name=data", "broker.extraVolumeMounts[0].mountPath=/mosquitto/data"],
            "broker.extraVolumeMounts has /mosquitto/data, which the container mounts already: choose another path.",
        ),
        (
            [
                f"collector.sidecars[0].{value}"
                for value in ("name=a", "image=a", "volumeMounts[0].name=b", "volumeMounts[0].mountPath=/b")
            ],
            "collector.sidecars mounts b, which is no volume of the pod: add it to collector.extraVolumes.",
        ),
        (
            ["echo.livenessProbe.httpGet.port=80", "echo.livenessProbe.tcpSocket.port=80"],
            "echo.livenessProbe has httpGet and tcpSocket: a probe has only one action.",
        ),
        *(
            (
                [f"scoutSim.resources.requests.{name}={request}", f"scoutSim.resources.limits.{name}={limit}"],
                f".requests.{name} is {request}, more than scoutSim.resources.limits.{name}, which is {limit}.",
            )
            for name, request, limit in (("memory", "0.6Gi", "600Mi"), ("cpu", "501m", "0.5"), ("cpu", "2", "1500m"))
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(refuse: Refuse, values: list[str], complaint: str) -> None:
    """The first line that Helm prints ends with the sentence."""
    assert refuse(*values).splitlines()[0].endswith(complaint)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        (["broker.extraVolumes"], "data"),
        (["collector.sidecars"], "log"),
        (["producer.initContainers"], "producer"),
        (["scoutSim.extraVolumes", "scoutSim.extraVolumes[1]"], "a"),
        (["echo.initContainers", "echo.sidecars"], "a"),
    ],
)
def test_a_name_is_given_once_in_a_pod(refuse: Refuse, values: list[str], name: str) -> None:
    """Kubernetes prefers the claim to a volume of its name, without a word."""
    places = [value if "[" in value else f"{value}[0]" for value in values]
    given = [f"{place}.name={name}" for place in places]
    given += [f"{place}.image=a" for place in places if "extraVolumes" not in place]
    complaint = f"{values[-1].partition('[')[0]} has {name}, which the pod has already: choose another name."
    assert refuse(*given).splitlines()[0].endswith(complaint)


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("echo.envFrom[0].prefix=a", "echo/envFrom/0': missing property 'secretRef'"),
        ("echo.envFrom[0].secretRef.optional=true", "echo/envFrom/0/secretRef': missing property 'name'"),
        ("echo.sidecars[0].name=a", "echo/sidecars/0': missing property 'image'"),
        ("echo.initContainers[0].name=A,echo.initContainers[0].image=a", "echo/initContainers/0/name': 'A' does not"),
        (
            "echo.extraVolumes[0].name=a,echo.extraVolumes[0].csi.driver=a,echo.extraVolumes[0].configMap.name=a",
            "echo/extraVolumes/0': maxProperties: got 3, want 2",
        ),
        ("echo.extraVolumes[0].name=a,echo.extraVolumes[0].secret.optional=true", "0/secret': missing property"),
        ("tolerations[0].operator=Exists,tolerations[0].value=a", "tolerations/0/value': maxLength: got 1, want 0"),
        ("tolerations[0].tolerationSeconds=1", "tolerations/0': missing property 'effect'"),
        (
            "tolerations[0].tolerationSeconds=1,tolerations[0].effect=NoSchedule",
            "tolerations/0/effect': value must be 'NoExecute'",
        ),
        ("hostAliases[0].ip=192.0.2.256", "hostAliases/0/ip': '192.0.2.256' does not match"),
        ("dnsConfig.nameservers={::1,::2,::3,::4}", "dnsConfig/nameservers': maxItems: got 4, want 3"),
        (
            ",".join(
                f"topologySpreadConstraints[0].{field}"
                for field in ("maxSkew=0", "topologyKey=a", "whenUnsatisfiable=ScheduleAnyway")
            ),
            "topologySpreadConstraints/0/maxSkew': minimum: got 0, want 1",
        ),
    ],
)
def test_what_the_api_server_would_refuse_is_refused_in_a_line(refuse: Refuse, value: str, complaint: str) -> None:
    """The schema knows more of Kubernetes' objects than the names and types of their fields."""
    (line,) = (line for line in refuse(value).splitlines() if "- at" in line)
    assert complaint in line


def test_components_may_share_an_account(render: Render) -> None:
    """One of them creates it."""
    shared = [f"{part}.serviceAccount.name=iot" for part in ("echo", "consumer", "operator")]
    manifests = render(*shared, "consumer.serviceAccount.create=false", "operator.serviceAccount.create=false")
    accounts = [m["metadata"]["name"] for m in manifests if m["kind"] == "ServiceAccount"]
    assert accounts.count("iot") == 1
