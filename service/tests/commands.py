"""Every service as users start it, without brokers and backends."""

from __future__ import annotations

import json
import os
import sysconfig
from pathlib import Path

COMMANDS = ("producer", "consumer", "echo", "scout-sim", "broker-metrics", "operator")

_POD_TEMPLATE = {
    "metadata": {"labels": {"app.kubernetes.io/component": "fleet"}},
    "spec": {
        "containers": [
            {
                "name": "producer",
                "image": "mqtt-trace-producer:1",
                "env": [],
                "ports": [{"name": "health", "containerPort": 8080}],
                "resources": {},
            }
        ]
    },
}
_OF_SERVICES = ("ECHO_", "HEALTH_", "MQTT_", "OTEL_", "SCOUT_")


def find_command(command: str) -> str:
    """The path of the installed command."""
    return str(Path(sysconfig.get_path("scripts")) / f"mqtt-trace-{command}")


def environment(folder: Path) -> dict[str, str]:
    """Variables with which every service starts; their files are created in the folder."""
    template, config = folder / "pod-template.json", folder / "kubeconfig"
    template.write_text(json.dumps(_POD_TEMPLATE))
    nowhere = "http://127.0.0.1:9"
    cluster = {"name": "none", "cluster": {"server": nowhere}}
    context = {"name": "none", "context": {"cluster": "none", "user": "nobody"}}
    user = {"name": "nobody", "user": {}}
    documents = {"clusters": [cluster], "contexts": [context], "users": [user], "current-context": "none"}
    config.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", **documents}))
    return {
        **{name: value for name, value in os.environ.items() if not name.upper().startswith(_OF_SERVICES)},
        "KUBECONFIG": str(config),
        "MQTT_BROKER_HOST": "127.0.0.1",
        "MQTT_BROKER_PORT": "9",
        "OTEL_SDK_DISABLED": "true",
        "POD_TEMPLATE_FILE": str(template),
    }
