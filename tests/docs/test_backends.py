"""The recipes for backends are accepted by the Collector, and deliver to a real OTLP receiver."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import yaml

from charts.generate import CHART
from local.certificates import Certificates, make_certificates
from local.documents import blocks
from local.needed import needs, skip_without
from local.otlp_backend import OtlpBackend, otlp_backend
from local.ports import HOST, free_port
from local.relays import ConnectProxy, TlsTerminator
from local.scout import Scout
from local.stack import Stack
from local.waiting import until
from tests.rendered_collector import RenderedCollector, collector_of

PAGE = "how-to/backends.md"
RECIPES = {block.title: block.code for block in blocks(PAGE, "yaml")}
EXPORTERS = {title: yaml.safe_load(code)["collector"].get("exporters", {}) for title, code in RECIPES.items()}
TOKEN_HOST, SCOUT_HOST = "id.b14.dev", "otel.prod.base14.io"
ALL = ["traces", "metrics", "logs"]

needs_collector = needs("otelcol-contrib")


def rendered(recipe: str, folder: Path) -> RenderedCollector:
    """The Collector that the chart makes of a recipe."""
    skip_without("helm")
    values = folder / recipe
    values.write_text(RECIPES[recipe])
    command = ["helm", "template", "demo", str(CHART), "--namespace", "iot", "--values", str(values)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return collector_of([manifest for manifest in yaml.safe_load_all(done.stdout) if manifest])


def tunnel_of(exporter: dict[str, Any]) -> tuple[str, tuple[str, str, str]]:
    """The `host:port` that an exporter asks the proxy for, and the kind of the backend's port."""
    url = urlsplit(exporter["endpoint"])
    port = url.port or {"http": 80, "https": 443}[url.scheme]
    return f"{url.hostname}:{port}", (url.scheme, exporter.get("protocol", "http"), url.path)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A private authority, and a certificate for the hosts of all recipes."""
    hosts = {str(urlsplit(e["endpoint"]).hostname) for exporters in EXPORTERS.values() for e in exporters.values()}
    return make_certificates(tmp_path_factory.mktemp("certificates"), TOKEN_HOST, SCOUT_HOST, *sorted(hosts))


@pytest.fixture(scope="module")
def backend(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OtlpBackend]:
    """One backend that stands for all, and records the headers of all recipes."""
    skip_without("otelcol-contrib")
    headers = {name for exporters in EXPORTERS.values() for e in exporters.values() for name in e.get("headers", ())}
    with otlp_backend(tmp_path_factory.mktemp("backend"), certificates, sorted(headers), ["", "/otlp"]) as running:
        yield running


def send(url: str, name: str) -> None:
    """Send a span, a metric and a log record of a service of this name."""
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": name}}]}
    span = {"traceId": "1" * 32, "spanId": "1" * 16, "name": "test", "kind": 1}
    span |= {"startTimeUnixNano": "1", "endTimeUnixNano": "2"}
    metric = {"name": "test", "gauge": {"dataPoints": [{"timeUnixNano": "1", "asInt": "1"}]}}
    exports: dict[str, dict[str, object]] = {
        "traces": {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]},
        "metrics": {"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": [metric]}]}]},
        "logs": {"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": [{"body": {}}]}]}]},
    }
    for signal, export in exports.items():
        httpx.post(f"{url}/v1/{signal}", json=export, trust_env=False).raise_for_status()


@needs_collector
@pytest.mark.parametrize("recipe", RECIPES)
def test_the_collector_accepts_each_recipe(recipe: str, tmp_path: Path) -> None:
    """The real Collector validates what the chart makes of the page's values."""
    assert rendered(recipe, tmp_path).validate(tmp_path) == ""


@needs_collector
@pytest.mark.parametrize("recipe", [recipe for recipe, exporters in EXPORTERS.items() if exporters])
def test_each_recipe_delivers(recipe: str, backend: OtlpBackend, certificates: Certificates, tmp_path: Path) -> None:
    """What the recipe's signals are arrives, by TLS where the URL says so, with the recipe's headers, from its host."""
    collector = rendered(recipe, tmp_path)
    tunnels = dict(tunnel_of(exporter) for exporter in EXPORTERS[recipe].values())
    routes = {target: (HOST, backend.ports[kind]) for target, kind in tunnels.items()}
    proxy_port = free_port()
    trusted = {"SSL_CERT_DIR": str(certificates.ca.parent), "HTTPS_PROXY": f"http://{HOST}:{proxy_port}"}
    with ExitStack() as stack:
        proxy = stack.enter_context(ConnectProxy((HOST, proxy_port), routes))
        url = stack.enter_context(collector.running(tmp_path, **trusted))
        send(url, recipe)
        for exporter in EXPORTERS[recipe].values():
            for signal in exporter.get("signals", ALL):
                resource = until(partial(received, backend, signal, recipe), f"{signal} by {recipe}")
                for header, value in exporter.get("headers", {}).items():
                    expected = value if isinstance(value, str) else "/".join(value["secretKeyRef"].values())
                    assert resource[f"header.{header}"] == expected
    assert set(proxy.tunnels) >= tunnels.keys()


def received(backend: OtlpBackend, signal: str, name: str) -> dict[str, Any] | None:
    """The resource of a service in what the backend received."""
    found = (resource for resource in backend.resources(signal) if resource["service.name"] == name)
    return next(found, None)


def test_each_secret_of_a_recipe_is_created_with_its_key() -> None:
    """The page's `kubectl create secret` gives each `secretKeyRef` its name and key."""
    commands = "\n".join(block.code for block in blocks(PAGE, "sh"))
    created = set(re.findall(r"create secret generic (\S+) --from-literal=([\w-]+)=", commands))
    headers = [e.get("headers", {}) for exporters in EXPORTERS.values() for e in exporters.values()]
    used = {tuple(v["secretKeyRef"].values()) for header in headers for v in header.values() if isinstance(v, dict)}
    assert used
    assert used <= created


@needs_collector
def test_scout_is_reached_through_the_proxy_of_the_page(certificates: Certificates, tmp_path: Path) -> None:
    """The token request and the exports of the page's `proxy.yaml` go through its proxy, and trust its authority."""
    (tmp_path / "stack").mkdir()
    stack = Stack(folder=tmp_path / "stack", collector=True)
    stack.start("scout-sim")
    hosts = {"SCOUT_TOKEN_URL": TOKEN_HOST, "SCOUT_OTLP_ENDPOINT": SCOUT_HOST}
    tls_port, proxy_port = free_port(), free_port()
    credentials = dict(stack.scout_credentials)
    for name, host in hosts.items():
        credentials[name] = credentials[name].replace(stack.scout_url, f"https://{host}")
    collector = rendered("proxy.yaml", tmp_path)
    assert collector.env["HTTPS_PROXY"] == "http://proxy.example.com:3128"
    assert collector.env["SSL_CERT_DIR"].split(":")[0] == "/etc/ssl/certs"
    network = {"SSL_CERT_DIR": str(certificates.ca.parent), "HTTPS_PROXY": f"http://{HOST}:{proxy_port}"}
    scout = (HOST, urlsplit(stack.scout_url).port or 0)
    try:
        with (
            TlsTerminator((HOST, tls_port), certificates.certificate, certificates.key, scout),
            ConnectProxy((HOST, proxy_port), {f"{host}:443": (HOST, tls_port) for host in hosts.values()}) as proxy,
            collector.running(tmp_path, **credentials, **network) as url,
            Scout(stack.scout_url) as client,
        ):
            send(url, "proxied")
            until(lambda: client.trace_ids(service="proxied"), "the trace is in Scout")
    finally:
        stack.close()
    assert set(proxy.tunnels) == {f"{host}:443" for host in hosts.values()}
