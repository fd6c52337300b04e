"""What stands outside of a release: Scout behind TLS with a private authority, a proxy, and a second OTLP backend.

They are one pod, of images that the cluster has, without a label of the release: no policy keeps it from anything.
"""

import json
from pathlib import Path
from typing import Any

from local import relays
from local.certificates import make_certificates
from local.commands import Kubectl

POD = "outside"
SCOUT_PORT, PROXY_PORT, BACKEND_PORT, API_PORT = 8443, 3128, 4317, 4320
CREDENTIALS = {
    "client-id": "customer",
    "client-secret": "secret",
    "token-url": f"https://scout:{SCOUT_PORT}/realms/demo/protocol/openid-connect/token",
    "endpoint": f"https://scout:{SCOUT_PORT}/demo/otlp",
}

_BACKEND = {
    "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": f"0.0.0.0:{BACKEND_PORT}"}}}},
    "exporters": {"debug": {"verbosity": "detailed"}},
    "service": {
        "telemetry": {"metrics": {"level": "none"}},
        "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["debug"]}},
    },
}
_SECURITY = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "runAsUser": 10001,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def start_outside(kubectl: Kubectl, images: dict[str, str], folder: Path) -> None:
    """Create the pod, its Services `scout`, `proxy` and `backend`, and the Secrets `scout` and `private-ca`.

    Args:
        kubectl: kubectl in the namespace of the release.
        images: The images of scout-sim and the Collector, by `scout-sim` and `opentelemetry-collector`.
        folder: Where the certificates go.
    """
    made = make_certificates(folder, "scout")
    files = [f"--from-file={path}" for path in (made.certificate, made.key, Path(relays.__file__))]
    (folder / "backend.yaml").write_text(json.dumps(_BACKEND))
    kubectl("create", "secret", "generic", "outside", *files, f"--from-file={folder / 'backend.yaml'}")
    kubectl("create", "secret", "generic", "private-ca", f"--from-file=ca.crt={made.ca}")
    literals = [f"--from-literal={key}={value}" for key, value in CREDENTIALS.items()]
    kubectl("create", "secret", "generic", "scout", *literals)
    for manifest in (
        _pod(images),
        *map(_service, ("scout", "proxy", "backend"), (SCOUT_PORT, PROXY_PORT, BACKEND_PORT)),
    ):
        kubectl("apply", "--filename", "-", stdin=json.dumps(manifest))
    kubectl("wait", f"pod/{POD}", "--for=condition=Ready", "--timeout=300s")


def _pod(images: dict[str, str]) -> dict[str, Any]:
    scout = {
        f"SCOUT_SIM_{key}": CREDENTIALS[value]
        for key, value in (("CLIENT_ID", "client-id"), ("CLIENT_SECRET", "client-secret"))
    }
    tls = ["python", "/outside/relays.py", "tls", str(SCOUT_PORT), "/outside/server.crt", "/outside/server.key"]
    containers = [
        _container("scout-sim", images["scout-sim"], API_PORT, env=[{"name": k, "value": v} for k, v in scout.items()]),
        _container("tls", images["scout-sim"], SCOUT_PORT, command=[*tls, f"127.0.0.1:{API_PORT}"]),
        _container(
            "proxy", images["scout-sim"], PROXY_PORT, command=["python", "/outside/relays.py", "proxy", str(PROXY_PORT)]
        ),
        _container(
            "backend", images["opentelemetry-collector"], BACKEND_PORT, args=["--config", "/outside/backend.yaml"]
        ),
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": POD, "labels": {"app": POD}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": containers,
            "volumes": [{"name": "outside", "secret": {"secretName": "outside"}}],
        },
    }


def _container(name: str, image: str, port: int, **others: Any) -> dict[str, Any]:
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1},
        "securityContext": _SECURITY,
        "volumeMounts": [{"name": "outside", "mountPath": "/outside"}],
        **others,
    }


def _service(name: str, port: int) -> dict[str, Any]:
    ports = [{"name": "port", "port": port}] + ([{"name": "api", "port": API_PORT}] if name == "scout" else [])
    spec = {"selector": {"app": POD}, "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}
