"""The trace page behind an ingress controller or a Gateway."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.chart.conftest import Manifest, Refuse, Render

SERVICE = "demo-mqtt-trace-scout-sim"
HOSTS: list[dict[str, Any]] = [
    {"host": "iot.example.com", "paths": [{"path": "/", "pathType": "Prefix"}]},
    {"host": "", "paths": [{"path": "/scout", "pathType": "ImplementationSpecific"}]},
]
TLS = [{"hosts": ["iot.example.com"], "secretName": "certificate"}]
INGRESS = {"enabled": True, "className": "nginx", "annotations": {"a": "1"}, "hosts": HOSTS, "tls": TLS}
ROUTE: dict[str, Any] = {
    "enabled": True,
    "annotations": {"a": "1"},
    "parentRefs": [{"name": "gateway", "namespace": "infra", "sectionName": "https"}],
    "hostnames": ["*.example.com"],
    "rules": [
        {
            "matches": [{"path": {"type": "PathPrefix", "value": "/scout"}}],
            "filters": [
                {
                    "type": "URLRewrite",
                    "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}},
                }
            ],
        }
    ],
}


def given(**parts: Any) -> tuple[str, ...]:
    """Options of Helm that set parts of `scoutSim`."""
    return tuple(
        part for name, value in parts.items() for part in ("--set-json", f"scoutSim.{name}={json.dumps(value)}")
    )


def of_kind(manifests: list[Manifest], kind: str) -> Manifest:
    """The only manifest of a kind."""
    (found,) = (manifest for manifest in manifests if manifest["kind"] == kind)
    return found


def test_an_ingress_leads_to_the_trace_page(render: Render) -> None:
    """Each host and path has the Service as its backend, by the name of its port."""
    manifests = render(options=given(ingress=INGRESS))
    ingress = of_kind(manifests, "Ingress")
    assert ingress["metadata"]["annotations"] == {"a": "1"}
    assert (ingress["spec"]["ingressClassName"], ingress["spec"]["tls"]) == ("nginx", TLS)
    backend = {"service": {"name": SERVICE, "port": {"name": "http"}}}
    named, nameless = ingress["spec"]["rules"]
    assert named["host"] == "iot.example.com"
    assert "host" not in nameless
    for rule, host in ((named, HOSTS[0]), (nameless, HOSTS[1])):
        assert rule["http"]["paths"] == [{**path, "backend": backend} for path in host["paths"]]
    (service,) = (m for m in manifests if (m["kind"], m["metadata"]["name"]) == ("Service", SERVICE))
    assert [port["name"] for port in service["spec"]["ports"]] == ["http"]


def test_a_route_leads_to_the_trace_page(render: Render) -> None:
    """Matches and filters are as given, and the Service is the backend of each rule."""
    route = of_kind(render(options=given(httpRoute=ROUTE)), "HTTPRoute")
    assert route["metadata"]["annotations"] == {"a": "1"}
    assert (route["spec"]["parentRefs"], route["spec"]["hostnames"]) == (ROUTE["parentRefs"], ROUTE["hostnames"])
    assert route["spec"]["rules"] == [{**ROUTE["rules"][0], "backendRefs": [{"name": SERVICE, "port": 4320}]}]


def test_a_route_is_for_the_whole_host_by_default(render: Render) -> None:
    """A Gateway is all that it needs."""
    route = of_kind(
        render(options=given(httpRoute={"enabled": True, "parentRefs": [{"name": "gateway"}]})), "HTTPRoute"
    )
    (rule,) = route["spec"]["rules"]
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/"}}]
    assert "hostnames" not in route["spec"]


@pytest.mark.parametrize(("name", "values"), [("ingress", INGRESS), ("httpRoute", ROUTE)])
def test_the_controller_gets_through_the_network_policy(render: Render, name: str, values: dict[str, Any]) -> None:
    """From any namespace by default, or from the peers that are given."""
    peers = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}}}]
    controllers = ("--set-json", f"networkPolicy.ingressControllers={json.dumps(peers)}")
    for options, expected in (((), [{"namespaceSelector": {}}]), (controllers, peers)):
        manifests = render(options=(*given(**{name: values}), *options))
        (policy,) = (m for m in manifests if (m["kind"], m["metadata"]["name"]) == ("NetworkPolicy", SERVICE))
        rules = policy["spec"]["ingress"]
        assert {"from": expected, "ports": [{"port": "http", "protocol": "TCP"}]} in rules
        assert len(rules) == 2


def test_nothing_leads_to_a_page_that_is_not_there(render: Render) -> None:
    """With the real Scout there is no scout-sim."""
    manifests = render("scout.existingSecret=mine", options=given(ingress=INGRESS, httpRoute=ROUTE))
    assert not {m["kind"] for m in manifests} & {"Ingress", "HTTPRoute"}


@pytest.mark.parametrize(
    ("name", "values", "complaint"),
    [
        (
            "ingress",
            {"enabled": True},
            "scoutSim.ingress.enabled is true, but scoutSim.ingress.hosts is empty: add a host with its paths.",
        ),
        (
            "httpRoute",
            {"enabled": True},
            "scoutSim.httpRoute.enabled is true, but scoutSim.httpRoute.parentRefs is empty: name a Gateway.",
        ),
    ],
)
def test_a_way_without_an_entrance_is_refused(
    refuse: Refuse, name: str, values: dict[str, Any], complaint: str
) -> None:
    """The first line that Helm prints ends with the sentence."""
    assert refuse(options=given(**{name: values})).splitlines()[0].endswith(complaint)


def test_a_misspelled_field_is_refused_with_its_path(refuse: Refuse) -> None:
    """Helm and the API server would drop it."""
    hosts = [{"host": "a", "paths": [{"path": "/", "pathtype": "Prefix"}]}]
    assert "at '/scoutSim/ingress/hosts/0/paths/0'" in refuse(options=given(ingress={"enabled": True, "hosts": hosts}))
    assert "at '/scoutSim/httpRoute/rules/0'" in refuse(options=given(httpRoute={"rules": [{"match": []}]}))
