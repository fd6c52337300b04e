"""A release that connects to a broker of its own user's, which requires client certificates (mTLS)."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from e2e.release import Release, until
from local.certificates import make_certificates
from local.cluster import CHART
from local.commands import Helm, Kubectl

NAMESPACE = "mqtt-trace-e2e-mtls"
BROKER = "broker"
PORT = 8883
VALUES = [
    f"broker.external.host={BROKER}",
    "broker.external.tls=true",
    "broker.external.caSecret=authority",
    "operator.enabled=false",
    "collector.persistence.enabled=false",
    "scoutSim.persistence.enabled=false",
]
WITH_CERTIFICATE = "broker.external.clientSecret=client"
CONFIGURATION = f"""\
listener {PORT}
allow_anonymous true
cafile /certificates/ca.crt
certfile /certificates/tls.crt
keyfile /certificates/tls.key
require_certificate true
"""


@pytest.fixture(scope="module")
def release(
    make_namespace: Callable[[str], Kubectl], options: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Release]:
    """A release, not installed yet, next to such a broker, with a certificate for its clients."""
    kubectl = make_namespace(NAMESPACE)
    made = Release("mtls", Helm(kubectl.kubeconfig, NAMESPACE), kubectl, options)
    certificates = make_certificates(tmp_path_factory.mktemp("certificates"), BROKER)
    authority = f"--from-file=ca.crt={certificates.ca}"
    server = [f"--from-file=tls.crt={certificates.certificate}", f"--from-file=tls.key={certificates.key}"]
    kubectl("create", "secret", "generic", "authority", authority)
    kubectl("create", "secret", "generic", BROKER, authority, *server)
    pair = [f"--cert={certificates.client_certificate}", f"--key={certificates.client_key}"]
    kubectl("create", "secret", "tls", "client", *pair)
    kubectl("create", "configmap", BROKER, f"--from-literal=mosquitto.conf={CONFIGURATION}")
    kubectl("apply", "--filename", "-", stdin=json.dumps(broker(made)))
    kubectl("wait", f"pod/{BROKER}", "--for=condition=Ready", "--timeout=180s")
    yield made
    kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def test_a_reading_passes_a_broker_that_requires_certificates(release: Release) -> None:
    """With its certificate every client of the release connects; without it, the broker closes the connection."""
    release.apply(*VALUES, WITH_CERTIFICATE)
    release.helm("test", release.name, "--timeout", "3m")
    variables = ["MQTT_TLS_CERT_FILE-", "MQTT_TLS_KEY_FILE-"]
    release.kubectl("set", "env", f"deployment/{release.object('producer')}", *variables)
    until(
        lambda: "peer did not return a certificate" in release.kubectl("logs", BROKER),
        "the broker refuses a client",
        120,
    )
    release.helm("uninstall", release.name, "--wait")


def broker(release: Release) -> dict[str, Any]:
    """Return a pod and a Service of the chart's Mosquitto with the configuration."""
    shown = ["--show-only", "templates/mosquitto/statefulset.yaml"]
    chart = yaml.safe_load(release.helm("template", release.name, str(CHART), *release.options, *shown))
    theirs = chart["spec"]["template"]["spec"]
    container = {
        "name": BROKER,
        "image": theirs["containers"][0]["image"],
        "command": ["mosquitto", "-c", "/configuration/mosquitto.conf"],
        "securityContext": theirs["containers"][0]["securityContext"],
        "volumeMounts": [
            {"name": "configuration", "mountPath": "/configuration"},
            {"name": "certificates", "mountPath": "/certificates"},
        ],
    }
    pod = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
        "securityContext": theirs["securityContext"],
        "containers": [container],
        "volumes": [
            {"name": "configuration", "configMap": {"name": BROKER}},
            {"name": "certificates", "secret": {"secretName": BROKER}},
        ],
    }
    labels = {"name": BROKER}
    items = [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": BROKER, "labels": labels}, "spec": pod},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": BROKER},
            "spec": {"selector": labels, "ports": [{"port": PORT}]},
        },
    ]
    return {"apiVersion": "v1", "kind": "List", "items": items}
