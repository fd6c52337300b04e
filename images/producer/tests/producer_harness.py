"""Real processes for the producer's tests: the producer, scout-sim, and a client that listens to readings."""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, NotRequired, Self, TypedDict

import httpx
from paho.mqtt.client import Client, ConnectFlags, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from local.mosquitto import Mosquitto
from local.ports import HOST, free_port
from local.processes import Process, answers_http
from local.waiting import DEADLINE_S, until

_PUBLISHED = re.compile(r"^published reading .*: message (?P<message>[0-9a-f-]{36}), trace (?P<trace>[0-9a-f]{32})$")
_NO_EXPORT = {f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "METRICS", "LOGS")}


def command(name: str) -> str:
    """The path of an installed command."""
    return str(Path(sys.executable).with_name(name))


def environment(settings: Mapping[str, object]) -> dict[str, str]:
    """The settings, in an environment without the developer's variables and without exports by default."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return {**kept, **_NO_EXPORT, **{name: str(value) for name, value in settings.items()}}


class FinalCounts(NamedTuple):
    """The counts in the last log line of a producer."""

    published: int
    dropped: int
    unacknowledged: int


class ReadyFigures(TypedDict):
    """The JSON object of `/ready`."""

    ready: bool
    devices: int
    connected: int
    published: int
    buffered: int
    dropped: int
    causes: dict[str, int]
    generation: NotRequired[int]
    started_at: NotRequired[float]


class ReadingPayload(TypedDict):
    """The JSON object of a reading."""

    device_id: str
    reading: float
    message_id: str
    ts: float
    padding: NotRequired[str]


class Producer(Process):
    """A producer process, with its settings as keyword arguments.

    By default, readings are frequent and count as published without subscribers.
    """

    def __init__(self, log: Path, *, port: int, **settings: object) -> None:
        self._health = f"http://{HOST}:{free_port()}"
        defaults = {
            "MQTT_BROKER_HOST": HOST,
            "MQTT_BROKER_PORT": port,
            "HEALTH_HOST": HOST,
            "HEALTH_PORT": self._health.rpartition(":")[2],
            "PUBLISH_INTERVAL_S": 0.05,
            "PUBLISH_RETRY_S": 0,
        }
        super().__init__(
            "producer", [command("mqtt-trace-producer")], log=log, env=environment({**defaults, **settings})
        )
        self._records: list[dict[str, Any]] = []
        self._read = 0

    def start(self) -> None:
        """Start it, and return once it answers probes and handles SIGTERM."""
        super().start()
        self.wait_until(answers_http(f"{self._health}/health"), timeout_s=DEADLINE_S)

    def wait_ready(self) -> None:
        """Return once all devices are connected, according to `/ready`."""
        self.wait_until(answers_http(f"{self._health}/ready"), timeout_s=DEADLINE_S)

    def figures(self) -> ReadyFigures:
        """The answer of `/ready`, ready or not."""
        answer: ReadyFigures = httpx.get(f"{self._health}/ready", timeout=DEADLINE_S, trust_env=False).json()
        return answer

    def results(self) -> dict[str, Any] | None:
        """The answer of `/results`; None for 404."""
        answer = httpx.get(f"{self._health}/results", timeout=DEADLINE_S, trust_env=False)
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return None
        document: dict[str, Any] = answer.raise_for_status().json()
        return document

    def total(self, figure: str) -> int:
        """The sum of a figure over all phases of `/results`."""
        results = self.results()
        return 0 if results is None else sum(phase[figure] for phase in results["phases"])

    def records(self) -> list[dict[str, Any]]:
        """Its log records so far."""
        with self.log.open("rb") as file:
            file.seek(self._read)
            complete, newline, _ = file.read().rpartition(b"\n")
        self._read += len(complete + newline)
        self._records += [json.loads(line) for line in complete.splitlines() if line.startswith(b"{")]
        return self._records

    def lines(self, containing: str = "") -> list[str]:
        """Its log messages that contain a text, except those about single readings."""
        messages = [record["message"] for record in self.records()]
        return [text for text in messages if containing in text and not text.startswith("published reading")]

    def wait_line(self, containing: str) -> str:
        """Wait for a log message that contains a text, and return it."""
        try:
            until(lambda: self.lines(containing), f"a line with {containing!r}")
        except AssertionError as error:
            error.add_note("\n".join(["its lines:", *self.lines(), str(self.figures())]))
            raise
        return self.lines(containing)[0]

    def published(self) -> dict[str, str]:
        """Trace ids of the readings in its log, by message id."""
        found = (_PUBLISHED.match(record["message"]) for record in self.records())
        return {match["message"]: match["trace"] for match in found if match}

    def final_counts(self) -> FinalCounts:
        """The counts in its last log line."""
        (line,) = self.lines("stopped: ")
        match = re.fullmatch(
            r"stopped: (\d+) readings published, (\d+) dropped, of which (\d+) were not acknowledged at the end", line
        )
        assert match is not None, line
        return FinalCounts(*map(int, match.groups()))


class Listener:
    """A subscriber with a persistent session, which receives all readings of outages, too."""

    def __init__(self, broker: Mosquitto, topic: str = "sensors/#", **credentials: str) -> None:
        self.messages: list[MQTTMessage] = []
        self.message_ids: set[str] = set()
        self._topic = topic
        self._subscribed = False
        self._may_subscribe = threading.Event()
        self._may_subscribe.set()
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=f"listener-{id(self)}", protocol=MQTTv5)
        if credentials:
            self._client.username_pw_set(credentials["username"], credentials["password"])
        self._client.on_connect = self._connected
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._client.connect(
            broker.host, broker.port, clean_start=False, properties=_expire_session_after(3600, PacketTypes.CONNECT)
        )

    def __enter__(self) -> Self:
        self._client.loop_start()
        until(lambda: self._subscribed, "a SUBACK")
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._client.disconnect(properties=_expire_session_after(0))
        self._client.loop_stop()

    @contextmanager
    def delay_resubscription(self) -> Iterator[None]:
        """Do not subscribe after a reconnect, until the end of the block."""
        self._may_subscribe.clear()
        try:
            yield
        finally:
            self._may_subscribe.set()

    def readings(self) -> list[ReadingPayload]:
        """The payloads of the messages so far."""
        return [json.loads(message.payload) for message in self.messages.copy()]

    def _connected(
        self, client: Client, userdata: object, flags: ConnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        del userdata, flags, reason, properties
        self._may_subscribe.wait(DEADLINE_S)
        client.subscribe(self._topic, qos=2)

    def _on_subscribe(
        self, client: Client, userdata: object, mid: int, reasons: list[ReasonCode], properties: Properties | None
    ) -> None:
        del client, userdata, mid, reasons, properties
        self._subscribed = True

    def _on_message(self, client: Client, userdata: object, message: MQTTMessage) -> None:
        del client, userdata
        self.messages.append(message)
        self.message_ids.add(json.loads(message.payload)["message_id"])


def _expire_session_after(seconds: int, packet: int = PacketTypes.DISCONNECT) -> Properties:
    properties = Properties(packet)
    properties.SessionExpiryInterval = seconds
    return properties


class Backend(Process):
    """A scout-sim process, which accepts OTLP without a token."""

    def __init__(self, log: Path) -> None:
        port = free_port()
        self.url = f"http://{HOST}:{port}"
        settings = {"SCOUT_SIM_HOST": HOST, "SCOUT_SIM_PORT": port, "SCOUT_SIM_REQUIRE_TOKEN": "false"}
        super().__init__("scout-sim", [command("mqtt-trace-scout-sim")], log=log, env=environment(settings))

    def start(self) -> None:
        """Start it, and return once it answers probes."""
        super().start()
        self.wait_until(answers_http(f"{self.url}/health"), timeout_s=DEADLINE_S)

    def exports(self) -> dict[str, str]:
        """The settings with which a service exports to it."""
        return {
            **dict.fromkeys(_NO_EXPORT, "otlp"),
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.url,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        }

    def query(self, path: str, **parameters: str | int) -> dict[str, Any]:
        """Send a query, and return the JSON object of the answer."""
        response = httpx.get(f"{self.url}/api/{path}", params=parameters, trust_env=False).raise_for_status()
        answer: dict[str, Any] = response.json()
        return answer
