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
    given = [f"{value}.name={name}" if "[" in value else f"{value}[0].name={name}" for value in values]
    complaint = f"{values[-1].partition('[')[0]} has {name}, which the pod has already: choose another name."
    assert refuse(*given).splitlines()[0].endswith(complaint)


def test_components_may_share_an_account(render: Render) -> None:
    """One of them creates it."""
    shared = [f"{part}.serviceAccount.name=iot" for part in ("echo", "consumer", "operator")]
    manifests = render(*shared, "consumer.serviceAccount.create=false", "operator.serviceAccount.create=false")
    accounts = [m["metadata"]["name"] for m in manifests if m["kind"] == "ServiceAccount"]
    assert accounts.count("iot") == 1
