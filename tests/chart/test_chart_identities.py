"""Sensors with users of their own in the chart's Mosquitto, and the operator's access to them."""

from __future__ import annotations

import asyncio
import base64
import itertools
import re
import shutil
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import pytest
import yaml
from mqtt_trace_operator.identity.certificates import Authority
from mqtt_trace_operator.identity.passwords import make_lines
from mqtt_trace_operator.identity.takeover import CertificateListener, Takeover
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from images.producer.tests.mounted_fleet_file import MountedFleetFile
from images.producer.tests.producer_harness import Producer
from local.certificates import make_certificates
from local.needed import skip_without
from local.ports import HOST
from local.waiting import until
from mqtt_trace import receipt_for
from tests.chart.conftest import Manifest, Refuse, Render, template
from tests.chart.rendered_mosquitto import Answers, RenderedMosquitto, subscribe

ENABLED = "operator.identities.enabled=true"
ALLOWED, NOT_AUTHORIZED = (0, 0x10), 0x87
NAMES = [f"iot.demo-{number:05d}" for number in range(3)]


class MountedUsers:
    """Password files of fleets, mounted as kubelet mounts a Secret."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count()
        self.write({})

    def write(self, files: Mapping[str, Mapping[str, str]], **others: bytes) -> None:
        """Replace the files by files of these users with their passwords, and by other files."""
        version = self._folder / f"..{next(self._numbers)}"
        version.mkdir()
        texts = {name.replace("_", "."): content.decode() for name, content in others.items()}
        for file, users in files.items():
            lines = make_lines({name: password.encode() for name, password in users.items()}, [])
            texts[file] = "".join(f"{line}\n" for line in lines)
        for file, text in texts.items():
            (version / file).write_text(text)
            if not (self._folder / file).is_symlink():
                (self._folder / file).symlink_to(Path("..data", file))
        link, data = self._folder / "..new", self._folder / "..data"
        former = data.resolve() if data.is_symlink() else None
        link.symlink_to(version.name)
        link.rename(data)
        if former:
            shutil.rmtree(former)  # as kubelet's last step


@pytest.fixture(params=[(), ("broker.resources.limits.memory=null",)], ids=["limited", "unlimited"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RenderedMosquitto]:
    """The chart's Mosquitto for sensors with users of their own, with and without a limit of its memory."""
    skip_without("helm")
    done = template("helm", (ENABLED, *request.param))
    assert done.returncode == 0, done.stderr
    manifests = [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]
    broker = RenderedMosquitto(manifests, tmp_path)
    yield broker
    broker.stop()


def get(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    """The only manifest of this kind and name."""
    (found,) = (m for m in manifests if (m["kind"], m["metadata"]["name"]) == (kind, name))
    return found


def test_users_of_sensors_change_while_others_stay_connected(broker: RenderedMosquitto) -> None:
    """New users are accepted, a revoked one is disconnected and refused, and no other client is disconnected."""
    first, second, third = NAMES
    mount = MountedUsers(broker.sensors)
    mount.write({"iot.demo.passwords": {first: "a", second: "b"}})
    broker.prepare()
    broker.start()
    lost: list[str] = []
    refused: list[int] = []

    def connect(name: str, password: str) -> Client:
        client = clients.enter_context(broker.client(name, name, password=password))
        client.on_connect = lambda _client, _userdata, _flags, reason, _properties: refused.append(reason.value)
        client.on_disconnect = lambda *_: lost.append(name)
        return client

    with ExitStack() as clients:
        for name, password in {"producer": "producer", first: "a", second: "b"}.items():
            connect(name, password)
        mount.write({"iot.demo.passwords": {first: "a", second: "b", third: "c"}, "iot.other.passwords": {"x": "y"}})
        until(lambda: "sensors: users read again" in broker.log, "the new users are read")
        third_client = connect(third, "c")
        answers = Answers(third_client)
        assert answers.publish(f"sensors/{third}/reading") in ALLOWED
        assert answers.publish(f"sensors/{first}/reading") == NOT_AUTHORIZED
        assert lost == []
        mount.write({"iot.demo.passwords": {first: "a", third: "c"}})
        until(lambda: NOT_AUTHORIZED in refused, "the revoked sensor is disconnected and refused")
        assert answers.publish(f"sensors/{third}/reading") in ALLOWED
        assert set(lost) == {second}


def test_a_client_id_gives_no_right_to_the_topic_of_another_sensor(broker: RenderedMosquitto) -> None:
    """A sensor that connects with the client id of another cannot publish on its topic; the chart's producer can."""
    first, second, _ = NAMES
    MountedUsers(broker.sensors).write({"iot.demo.passwords": {first: "a"}})
    with broker:
        with broker.client(first, second, password="a") as client:  # noqa: S106 - not a secret
            assert Answers(client).publish(f"sensors/{second}/reading") == NOT_AUTHORIZED
        with broker.client("producer", "sensor-001") as client:
            assert Answers(client).publish("sensors/sensor-001/reading") in ALLOWED


@pytest.fixture
def tls_broker(tmp_path: Path) -> Iterator[tuple[RenderedMosquitto, Authority, Path]]:
    """The chart's Mosquitto with TLS, the authority of sensors' certificates, and the CA of Mosquitto's own."""
    skip_without("helm")
    done = template("helm", (ENABLED, "broker.tls.enabled=true"))
    assert done.returncode == 0, done.stderr
    manifests = [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]
    broker = RenderedMosquitto(manifests, tmp_path)
    for name, content in get(manifests, "Secret", "demo-mqtt-trace-sensors-ca")["data"].items():
        (tmp_path / "sensors-ca" / name).write_bytes(base64.b64decode(content))
    made = make_certificates(tmp_path)
    (tmp_path / "tls" / "tls.crt").write_bytes(made.certificate.read_bytes())
    (tmp_path / "tls" / "tls.key").write_bytes(made.key.read_bytes())
    yield broker, Authority.read(tmp_path / "sensors-ca"), made.ca
    broker.stop()


class CertificateClient:
    """A client with a certificate, which connects again and again.

    Attributes:
        connected: Number of its successful connections.
        causes: Why it lost a connection or could not connect.
    """

    def __init__(self, port: int, ca: Path, pem: bytes, folder: Path, client_id: str) -> None:
        file = folder / f"{client_id}.pem"
        file.write_bytes(pem)
        context = ssl.create_default_context(cafile=ca)
        context.load_cert_chain(file)
        self.connected = 0
        self.causes: list[str] = []
        self.client = Client(CallbackAPIVersion.VERSION2, client_id, protocol=MQTTProtocolVersion.MQTTv5)
        self.client.tls_set_context(context)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = lambda *_: setattr(self, "connected", self.connected + 1)
        self.client.on_disconnect = lambda _c, _u, _f, reason, _p: self.causes.append(str(reason))
        self.client.connect_async(HOST, port)

    def __enter__(self) -> Self:
        self.client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def test_sensors_with_certificates_are_accepted_and_revoked(
    tls_broker: tuple[RenderedMosquitto, Authority, Path], tmp_path: Path
) -> None:
    """Mosquitto knows a sensor by its certificate, whatever its client id; a revoked one is cut off, others stay."""
    broker, authority, ca = tls_broker
    first, second, _ = NAMES
    now = datetime.now(UTC)
    certificates = authority.keep_or_issue([first, second], {}, now)
    mount = MountedUsers(broker.sensors)
    broker.prepare()
    broker.start()
    arguments = (broker.certificates_port, ca)
    with (
        CertificateClient(*arguments, certificates[first], tmp_path, first) as kept,
        CertificateClient(*arguments, certificates[second], tmp_path, "any") as revoked,
    ):
        until(lambda: kept.causes, "nobody is accepted before the operator's list")
        none_revoked = authority.revoke([], certificates.values(), b"", now)
        mount.write({}, ca_crt=authority.pem, crl_pem=none_revoked)
        until(lambda: kept.connected and revoked.connected, "both are connected")
        answers = Answers(revoked.client)
        assert answers.publish(f"sensors/{second}/reading") in ALLOWED
        assert answers.publish(f"sensors/{first}/reading") == NOT_AUTHORIZED
        before = kept.connected, len(kept.causes)
        one_revoked = authority.revoke([certificates[second]], [certificates[first]], none_revoked, now)
        mount.write({}, ca_crt=authority.pem, crl_pem=one_revoked)
        until(lambda: broker.log.count("sensors: users read again") == 2, "the list is read")
        listener = CertificateListener(HOST, broker.certificates_port, ca)
        connections = revoked.connected
        failures = len(revoked.causes)
        asyncio.run(Takeover(listener, authority).end_connections([second]))
        until(lambda: len(revoked.causes) > failures + 2, "the revoked sensor is cut off and refused")
        assert revoked.connected == connections
        assert Answers(kept.client).publish(f"sensors/{first}/reading") in ALLOWED
        assert (kept.connected, len(kept.causes)) == before


def give_credentials(kind: str, authority: Authority, mount: MountedUsers, folder: Path) -> Path:
    """Give credentials of this kind to sensors and Mosquitto; returns the sensors' folder."""
    own = folder / "identity"
    own.mkdir()
    if kind == "DEVICE_PASSWORDS_DIR":
        mount.write({"iot.demo.passwords": dict.fromkeys(NAMES, "a")})
        for name in NAMES:
            (own / name).write_text("a")
    else:
        now = datetime.now(UTC)
        certificates = authority.keep_or_issue(NAMES, {}, now)
        mount.write({}, ca_crt=authority.pem, crl_pem=authority.revoke([], certificates.values(), b"", now))
        for name, pem in certificates.items():
            (own / f"{name}.pem").write_bytes(pem)
    return own


@contextmanager
def confirming(port: int, ca: Path) -> Iterator[None]:
    """Consume and confirm all readings, as the chart's user `consumer`."""
    client = Client(CallbackAPIVersion.VERSION2, "confirming", protocol=MQTTProtocolVersion.MQTTv5)
    client.username_pw_set("consumer", "consumer")
    client.tls_set_context(ssl.create_default_context(cafile=ca))

    def confirm(client: Client, _userdata: object, message: MQTTMessage) -> None:
        receipt = receipt_for(message, "confirming")
        if receipt is not None:
            client.publish(receipt.topic, receipt.payload, 1)

    client.on_message = confirm
    client.connect(HOST, port)
    client.loop_start()
    try:
        subscribe(client, "sensors/+/reading")
        yield
    finally:
        client.disconnect()
        client.loop_stop()


@pytest.mark.parametrize("kind", ["DEVICE_PASSWORDS_DIR", "DEVICE_CERTIFICATES_DIR"])
def test_receipts_arrive_in_a_fleet_with_identities(
    tls_broker: tuple[RenderedMosquitto, Authority, Path], tmp_path: Path, kind: str
) -> None:
    """Sensors publish as themselves, and the pod receives its receipts as the chart's user `producer`."""
    broker, authority, ca = tls_broker
    own = give_credentials(kind, authority, MountedUsers(broker.sensors), tmp_path)
    (tmp_path / "fleet").mkdir()
    scenario = {"phases": [{"name": "all", "duration": "1h"}], "startedAt": round(time.time())}
    ports = {"DEVICE_CERTIFICATES_PORT": broker.certificates_port} if kind == "DEVICE_CERTIFICATES_DIR" else {}
    producer = Producer(
        tmp_path / "producer.log",
        port=broker.port,
        FLEET_FILE=MountedFleetFile(tmp_path / "fleet", scenario=scenario).path,
        FLEET_POD_INDEX=0,
        MQTT_USERNAME="producer",
        MQTT_PASSWORD="producer",  # noqa: S106 - not a secret
        MQTT_TLS="true",
        MQTT_TLS_CA_FILE=ca,
        RESULTS_TIMEOUT_S=0,
        **{kind: own},
        **ports,
    )
    with broker, confirming(broker.port, ca), ExitStack() as running:
        running.callback(producer.stop)
        producer.start()
        until(lambda: producer.total("processed") > 0, "a receipt")
        producer.wait_ready()
        assert producer.figures()["dropped"] == 0
    users = dict(re.findall(r"New client connected from \S+ as (\S+) \(.*u'(\S+)'\)", broker.log))
    assert users["iot.demo-receipts-0"] == "producer"
    assert {name: users[name] for name in NAMES} == {name: name for name in NAMES}


def test_the_operator_may_write_secrets_of_fleets_only_when_asked_to(render: Render) -> None:
    """It can never list Secrets; beyond the namespaces of fleets, it has access to one Secret and one pod."""

    def rules(manifests: list[Manifest], name: str) -> list[Any]:
        return [rule for rule in get(manifests, "Role", name)["rules"] if "secrets" in rule["resources"]]

    assert rules(render(), "demo-mqtt-trace-operator") == []
    manifests = render(ENABLED, "operator.namespaces={plant}")
    (rule,) = rules(manifests, "iot:demo-mqtt-trace-operator")
    assert rule["verbs"] == ["get", "create", "patch"]
    broker_role = get(manifests, "Role", "demo-mqtt-trace-operator-broker")
    assert broker_role["rules"] == [
        {
            "apiGroups": [""],
            "resources": ["secrets"],
            "resourceNames": ["demo-mqtt-trace-mosquitto-sensors"],
            "verbs": ["get", "patch"],
        },
        {
            "apiGroups": [""],
            "resources": ["pods"],
            "resourceNames": ["demo-mqtt-trace-mosquitto-0"],
            "verbs": ["patch"],
        },
    ]
    assert get(manifests, "StatefulSet", "demo-mqtt-trace-mosquitto")["metadata"]["namespace"] == "iot"
    assert "data" not in get(manifests, "Secret", "demo-mqtt-trace-mosquitto-sensors")


def test_an_external_broker_has_users_of_its_own(refuse: Refuse) -> None:
    """The chart says that it manages the users of its own Mosquitto only."""
    message = "the operator manages the users of the chart's Mosquitto only"
    assert message in refuse(ENABLED, "broker.external.host=mqtt.example.com")
