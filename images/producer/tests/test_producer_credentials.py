"""Devices with credentials of their own, which change while they run."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from images.producer.tests.conftest import StartProducer
from images.producer.tests.mounted_fleet_file import MountedFleetFile
from images.producer.tests.producer_harness import Producer
from images.producer.tests.test_producer_settings import run
from local.mosquitto import Mosquitto
from local.waiting import until

MakeBroker = Callable[..., Mosquitto]

IDS = [f"iot.demo-{number:05d}" for number in range(3)]
ACL = ["pattern write sensors/%u/reading"]


class MountedSecret:
    """A folder of files that are replaced at once, as the kubelet replaces those of a Secret."""

    def __init__(self, folder: Path, files: Mapping[str, str]) -> None:
        self.folder = folder
        self._number = 0
        self.write(files)

    def write(self, files: Mapping[str, str]) -> None:
        """Replace all files."""
        version = self.folder / f"..{self._number}"
        version.mkdir(parents=True)
        link = self.folder / f"..link-{self._number}"
        link.symlink_to(version.name)
        for name, content in files.items():
            (version / name).write_text(content)
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(Path("..data", name))
        link.rename(self.folder / "..data")
        self._number += 1


def connections(broker: Mosquitto) -> list[str]:
    """The client id and the user name of each connection so far."""
    return re.findall(r"New client connected from \S+ as (\S+ \(.*u'\S+'\))", broker.log)


def ids_of(connected: list[str]) -> list[str]:
    """The client ids of connections."""
    return [line.split()[0] for line in connected]


def start_fleet(start_producer: StartProducer, folder: Path, port: int, **settings: object) -> Producer:
    """Start a producer with the fleet file of three sensors."""
    fleet = folder / "fleet"
    fleet.mkdir()
    return start_producer(
        port, FLEET_FILE=MountedFleetFile(fleet).path, FLEET_POD_INDEX=0, DRAIN_TIMEOUT_S=0.1, **settings
    )


def test_each_device_has_its_own_user(make_broker: MakeBroker, start_producer: StartProducer, tmp_path: Path) -> None:
    """The broker knows each device by its own name, and only the device without a password waits for one."""
    passwords = dict(zip(IDS, "abc", strict=True))
    broker = make_broker(users=passwords, acl=ACL)
    secret = MountedSecret(tmp_path / "secret", dict(list(passwords.items())[:2]))
    producer = start_fleet(start_producer, tmp_path, broker.port, DEVICE_PASSWORDS_DIR=secret.folder)
    until(lambda: producer.figures()["connected"] == 2, "two devices are connected")
    until(lambda: producer.figures()["published"] > 0, "their readings are published")
    assert producer.figures()["dropped"] == 0
    (cause,) = producer.figures()["causes"]
    assert cause.startswith("FileNotFoundError")
    secret.write(passwords)
    producer.wait_ready()
    assert producer.figures()["causes"] == {}
    assert {line.split()[0]: line.split("u'")[1].rstrip("')") for line in connections(broker)} == {
        device: device for device in IDS
    }


def test_a_new_password_reconnects_no_other_device(
    make_broker: MakeBroker, start_producer: StartProducer, tmp_path: Path
) -> None:
    """When file and broker get a new password of a device, that device alone reconnects; a revoked one is refused."""
    passwords = dict(zip(IDS, "abc", strict=True))
    broker = make_broker(users=passwords, acl=ACL)
    secret = MountedSecret(tmp_path / "secret", passwords)
    producer = start_fleet(start_producer, tmp_path, broker.port, DEVICE_PASSWORDS_DIR=secret.folder)
    producer.wait_ready()
    passwords[IDS[1]] = "new"
    secret.write(passwords)
    broker.set_users(passwords)
    until(lambda: len(connections(broker)) == 4, "one device reconnects")
    producer.wait_ready()
    assert ids_of(connections(broker))[3:] == [IDS[1]]
    broker.set_users({device: password for device, password in passwords.items() if device != IDS[2]})
    until(lambda: "Not authorized" in str(producer.figures()["causes"]), "the revoked device is refused")
    assert producer.figures()["connected"] == 2
    assert ids_of(connections(broker))[3:] == [IDS[1]]


def test_a_device_has_its_own_certificate(
    make_broker: MakeBroker, start_producer: StartProducer, tmp_path: Path
) -> None:
    """A device waits for its certificate, and the broker knows it by the certificate's common name."""
    broker = make_broker(
        tls=True, require_certificate=True, acl=ACL, config=["use_identity_as_username true", "log_type all"]
    )
    made = broker.certificates
    secret = MountedSecret(tmp_path / "secret", {})
    producer = start_producer(
        broker.port,
        DEVICE_ID="client",
        MQTT_TLS="true",
        MQTT_TLS_CA_FILE=broker.ca_file,
        DEVICE_CERTIFICATES_DIR=secret.folder,
    )
    until(lambda: "FileNotFoundError" in str(producer.figures()["causes"]), "the device has no certificate")
    secret.write({"client.pem": made.client_certificate.read_text() + made.client_key.read_text()})
    until(lambda: producer.figures()["published"] > 0, "its readings are published")
    assert producer.figures()["dropped"] == 0
    assert "u'client'" in connections(broker)[-1]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (
            {"DEVICE_PASSWORDS_DIR": "/", "DEVICE_CERTIFICATES_DIR": "/"},
            "is set, but so is DEVICE_CERTIFICATES_DIR: use only one",
        ),
        ({"DEVICE_PASSWORDS_DIR": "/nowhere"}, "path does not point to a directory (got '/nowhere')"),
        ({"DEVICE_CERTIFICATES_DIR": "/"}, "is set, but MQTT_TLS is not true"),
        ({"DEVICE_CERTIFICATES_PORT": 8884}, "is set, but DEVICE_CERTIFICATES_DIR is not"),
    ],
)
def test_credentials_that_cannot_be_used_are_refused(settings: dict[str, object], problem: str) -> None:
    """The line names the first variable and the problem."""
    done = run(**settings)
    assert (done.returncode, done.stderr) == (2, f"mqtt-trace-producer: {next(iter(settings))}: {problem}\n")
