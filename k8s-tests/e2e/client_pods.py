"""Pods that connect to the broker for a test."""

import json
from base64 import b64decode
from pathlib import Path
from typing import Any

from e2e.release import Release

_SCRIPT = Path(__file__).with_name("mqtt_client.py")
_PODS = {"insider": {"mqtt-trace.io/access-broker": "true"}, "outsider": {}}


class ClientPods:
    """`insider`, a pod with the label for access, and `outsider`, an identical pod without it.

    Args:
        release: Whose broker they speak to, and whose namespace they are in.
    """

    def __init__(self, release: Release) -> None:
        self._release = release
        kubectl = release.kubectl
        producer = kubectl.json("get", "deployment", release.object("producer"))["spec"]["template"]["spec"]
        for name, labels in _PODS.items():
            kubectl("apply", "--filename", "-", stdin=json.dumps(_manifest(name, labels, producer)))
        for name in _PODS:
            kubectl("wait", f"pod/{name}", "--for=condition=Ready", "--timeout=120s")

    def __call__(self, pod: str, username: str, *, password: str | None = None, **wish: str) -> dict[str, Any]:
        """Publish or subscribe as one of the broker's users, and return the output of `mqtt_client`.

        Args:
            pod: `insider` or `outsider`.
            username: The broker's user.
            password: Its password; the right one by default.
            wish: `publish` or `subscribe`.
        """
        wanted = {
            "host": self._release.object("mosquitto"),
            "username": username,
            "password": password or self._password(username),
            **wish,
        }
        said = self._release.kubectl(
            "exec", "--stdin", pod, "--", "python", "-", json.dumps(wanted), stdin=_SCRIPT.read_text()
        )
        answer: dict[str, Any] = json.loads(said)
        return answer

    def close(self) -> None:
        """Remove them."""
        self._release.kubectl("delete", "pod", *_PODS, "--wait=false")

    def _password(self, username: str) -> str:
        data = self._release.kubectl.json("get", "secret", self._release.object("auth"))["data"]
        return b64decode(data[f"{username}-password"]).decode()


def _manifest(name: str, labels: dict[str, str], producer: dict[str, Any]) -> dict[str, Any]:
    """Return a pod of the producer's image, which has Python and paho, under the producer's security settings."""
    container = producer["containers"][0]
    idle = {
        "name": "client",
        "image": container["image"],
        "imagePullPolicy": container["imagePullPolicy"],
        "command": ["sleep", "infinity"],
        "securityContext": container["securityContext"],
    }
    spec = {
        "securityContext": producer["securityContext"],
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 0,
        "containers": [idle],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}
