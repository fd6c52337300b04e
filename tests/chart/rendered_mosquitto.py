"""Mosquitto under the chart's scripts and configuration, on this machine."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Self

from paho.mqtt.client import Client, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from local.ports import HOST, free_port
from local.processes import Process
from local.waiting import until
from tests.chart.conftest import Manifest

# Where Debian and Homebrew install Mosquitto.
_PATH = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin"])


class RenderedMosquitto:
    """The files of the chart's ConfigMap with paths, port and user of this machine, and what the pod does with them.

    Args:
        manifests: A render of the chart.
        folder: A new folder, which takes the place of `/mosquitto`, `/tmp` and `/dev`.
        users: Further users with their passwords.
        env: Further variables of Mosquitto.
    """

    def __init__(
        self,
        manifests: Sequence[Manifest],
        folder: Path,
        users: Mapping[str, str] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.port = free_port()
        self.websockets_port = free_port()
        self.certificates_port = free_port()
        self.database = folder / "data" / "mosquitto.db"
        self._folder = folder
        self._env = {**os.environ, "PATH": _PATH, **(env or {})}
        for name in ("access", "auth", "config", "data", "sensors", "sensors-ca", "tls", "users"):
            (folder / name).mkdir()
        for user in ("producer", "consumer"):
            (folder / "auth" / f"{user}-password").write_text(user)
        for user, password in (users or {}).items():
            (folder / "users" / user).write_text(password)
        (files,) = (m["data"] for m in manifests if "mosquitto.conf" in m.get("data", {}))
        for name, text in files.items():
            (folder / "config" / name).write_text(self._of_this_machine(name, text))
        self._process = Process(
            "mosquitto", ["sh", str(folder / "config" / "start")], log=folder / "log", env=self._env
        )

    @property
    def log(self) -> str:
        """The output of Mosquitto and of the chart's script, over all starts."""
        return self._process.output()

    @property
    def termination_message(self) -> str:
        """What the last init step left for `kubectl describe`."""
        file = self._folder / "termination-log"
        return file.read_text() if file.exists() else ""

    @property
    def sensors(self) -> Path:
        """The folder in which the pod mounts the password files of fleets."""
        return self._folder / "sensors"

    def prepare(self) -> str:
        """Run the pod's init steps, and return their output."""
        return self._run("make-access", "-eu") + self._run("check-queue", "-u")

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self._process.start()
        self._process.wait_until(self._listens)

    def stop(self) -> None:
        """Stop it with SIGTERM."""
        self._process.stop()

    def __enter__(self) -> Self:
        self.prepare()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @contextmanager
    def client(
        self,
        user: str,
        client_id: str,
        received: list[bytes] | None = None,
        *,
        transport: Literal["tcp", "websockets"] = "tcp",
        password: str | None = None,
    ) -> Iterator[Client]:
        """Connect as a user whose password is its name, with a session that remains; add payloads to `received`."""
        client = Client(
            CallbackAPIVersion.VERSION2, client_id, protocol=MQTTProtocolVersion.MQTTv5, transport=transport
        )
        client.username_pw_set(user, password or user)
        if received is not None:
            client.on_message = lambda _client, _userdata, message: received.append(bytes(message.payload))
        session = Properties(PacketTypes.CONNECT)
        session.SessionExpiryInterval = 3600
        port = self.port if transport == "tcp" else self.websockets_port
        client.connect(HOST, port, clean_start=False, properties=session)
        client.loop_start()
        try:
            until(client.is_connected, f"{client_id} is connected")
            yield client
        finally:
            client.disconnect()
            client.loop_stop()

    def _run(self, script: str, options: str) -> str:
        command = ["sh", options, str(self._folder / "config" / script)]
        done = subprocess.run(command, env=self._env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _of_this_machine(self, name: str, text: str) -> str:
        text = re.sub("/(mosquitto|tmp|dev)/(?!null)", f"{self._folder}/", text)
        ports = {1883: self.port, 8883: self.port, 9001: self.websockets_port, 8884: self.certificates_port}
        for port, ours in ports.items():
            text = text.replace(f"listener {port}\n", f"listener {ours}\n")
        if name.endswith(".conf") and os.geteuid() == 0:
            text += "user root\n"  # otherwise, Mosquitto would switch to a user that cannot read the folder
        return text

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((HOST, self.port)) == 0


def subscribe(client: Client, topic_filter: str) -> None:
    """Subscribe with QoS 1, and wait for SUBACK."""
    granted: list[int] = []
    client.on_subscribe = lambda _client, _userdata, packet_id, _reasons, _properties: granted.append(packet_id)
    _, packet_id = client.subscribe(topic_filter, 1)
    until(lambda: packet_id in granted, f"SUBACK for {topic_filter}")


class Answers:
    """Reason codes of a client's publishes, by packet id."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._answers: dict[int, int] = {}
        client.on_publish = self._on_publish

    def publish(self, topic: str, payload: bytes = b"{}") -> int:
        """Publish with QoS 1, and return the PUBACK's reason code."""
        info: MQTTMessageInfo = self._client.publish(topic, payload, 1)
        until(lambda: info.mid in self._answers, f"PUBACK for {topic}")
        return self._answers.pop(info.mid)

    def _on_publish(
        self, client: Client, userdata: object, packet_id: int, reason: ReasonCode, properties: Properties
    ) -> None:
        del client, userdata, properties
        self._answers[packet_id] = reason.value
