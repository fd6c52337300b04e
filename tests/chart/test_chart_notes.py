"""What Helm prints after an install."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chart.conftest import Render

Notes = Callable[..., str]

BROKER, COLLECTOR = 'mqtt-trace.io/access-broker: "true"', 'mqtt-trace.io/access-collector: "true"'


@pytest.fixture
def notes(render: Render, chart_with_notes: Path) -> Notes:
    """The notes of an install with these values."""

    def noted(*values: str, options: tuple[str, ...] = ()) -> str:
        manifests = render(*values, options=options, chart=chart_with_notes)
        (found,) = (manifest for manifest in manifests if manifest["kind"] == "Notes")
        return str(found["text"])

    return noted


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([], {BROKER, COLLECTOR}),
        (["broker.external.host=a"], {COLLECTOR}),
        (["collector.external.endpoint=http://a"], {BROKER}),
        (["broker.external.host=a", "collector.external.endpoint=http://a"], set()),
        (["networkPolicy.enabled=false"], set()),
    ],
)
def test_the_notes_name_the_labels_that_lead_to_what_is_there(
    notes: Notes, values: list[str], labels: set[str]
) -> None:
    """Those of the chart's own broker and Collector, and that they let in pods of the release's namespace alone."""
    said = notes(*values)
    assert {label for label in (BROKER, COLLECTOR) if label in said} == labels
    assert ("get access with a label, in this namespace only" in said) is bool(labels)


def test_the_notes_say_where_the_certificate_is(notes: Notes) -> None:
    """With TLS, and in the Secret that is given or in the chart's own."""
    assert "ca.crt" not in notes()
    assert "ca.crt in the Secret demo-mqtt-trace-mosquitto-tls" in notes("broker.tls.enabled=true")
    assert "ca.crt in the Secret mine" in notes("broker.tls.enabled=true", "broker.tls.existingSecret=mine")


def test_the_notes_name_the_addresses_of_the_trace_page(notes: Notes) -> None:
    """Those of Ingress and HTTPRoute, with the scheme and the path; without either, the port-forward alone."""
    assert "without the port-forward" not in notes()
    ingress = {
        "enabled": True,
        "hosts": [
            {"host": "iot.example.com", "paths": [{"path": "/", "pathType": "Prefix"}]},
            {"host": "plain.example.com", "paths": [{"path": "/scout/", "pathType": "Prefix"}]},
        ],
        "tls": [{"hosts": ["iot.example.com"], "secretName": "certificate"}],
    }
    route = {"enabled": True, "parentRefs": [{"name": "gateway"}], "hostnames": ["route.example.com"]}
    given = (f"scoutSim.ingress={json.dumps(ingress)}", f"scoutSim.httpRoute={json.dumps(route)}")
    said = notes(options=tuple(part for value in given for part in ("--set-json", value)))
    urls = ("https://iot.example.com/", "http://plain.example.com/scout/", "http://route.example.com/")
    assert [url for url in urls if f"  {url}\n" not in said] == []


def test_the_notes_name_the_backends(notes: Notes) -> None:
    """With their signals, and Scout only where the Collector sends to it."""
    tempo = ("collector.exporters.tempo.endpoint=http://tempo:4318", "collector.exporters.tempo.signals={traces}")
    line = "  tempo                http://tempo:4318 (traces)"
    said = notes(*tempo)
    assert f"The Collector also sends to your backends:\n\n{line}\n" in said
    assert "they go to scout-sim" in said
    said = notes("scout.enabled=false", *tempo)
    assert f"The Collector sends to your backends:\n\n{line}\n" in said
    assert "Scout" not in said
    assert "nothing arrives in a backend    the Collector" in said
