"""Fleets whose sensors have users of their own: in the API server alone, and with a broker."""

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from mqtt_trace_operator.identity.broker_users import BrokerObjects
from mqtt_trace_operator.identity.certificates import Authority
from mqtt_trace_operator.reconcile import Outcome

from e2e.fleets import SensorFleet, connected_sensors
from e2e.reconciling import Fleets
from e2e.release import Release, now, until
from local.certificates import make_certificates
from local.commands import Kubectl
from local.scout import Scout

_BROKER_USERS = "broker-sensors"
_PASSWORD = {"type": "Password"}
_CERTIFICATE = {"type": "Certificate"}


@pytest.fixture
def fleets_with_users(fleets: Fleets) -> Iterator[Fleets]:
    """Fleets whose operator has access to the users of a broker, which has no pod."""
    kubectl = fleets.kubectl
    kubectl("create", "secret", "generic", _BROKER_USERS)
    yield replace(fleets, broker=BrokerObjects(kubectl.namespace, _BROKER_USERS, "broker-0"))
    kubectl("delete", "secret", _BROKER_USERS, "--ignore-not-found")


def secret_data(kubectl: Kubectl, name: str) -> dict[str, str]:
    """Return the decoded values of a Secret."""
    data = kubectl.json("get", "secret", name).get("data") or {}
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def users(fleets: Fleets) -> dict[str, str]:
    """Return the hashed passwords of the broker's users by name."""
    text = secret_data(fleets.kubectl, _BROKER_USERS).get(f"{fleets.kubectl.namespace}.demo.passwords", "")
    return dict(line.split(":", 1) for line in text.splitlines())


def forget(kubectl: Kubectl, secret: str, key: str) -> None:
    """Delete a key of a Secret."""
    patch = json.dumps([{"op": "remove", "path": f"/data/{key}"}])
    kubectl("patch", "secret", secret, "--type=json", "--patch", patch)


def test_each_sensor_gets_a_password_that_the_broker_knows(fleets_with_users: Fleets) -> None:
    """The fleet owns a Secret with a password per sensor, and the broker's Secret has a hash of each."""
    fleets = fleets_with_users
    fleets.apply(identity=_PASSWORD)
    changes = fleets.reconcile().result.changes
    assert changes[:2] == ["Secret demo-identity-0 created", "sensors that the broker accepts changed"]
    sensors = SensorFleet(fleets.kubectl, "demo").sensors(range(3))
    assert set(secret_data(fleets.kubectl, "demo-identity-0")) == set(users(fleets)) == sensors
    (owner,) = fleets.get("secret", "demo-identity-0")["metadata"]["ownerReferences"]
    assert owner["uid"] == fleets.get("fleet")["metadata"]["uid"]
    container = fleets.get("statefulset")["spec"]["template"]["spec"]["containers"][0]
    assert {"name": "DEVICE_PASSWORDS_DIR", "value": "/etc/mqtt-trace/identity"} in container["env"]


def test_each_sensor_of_a_scenario_gets_a_password(fleets_with_users: Fleets) -> None:
    """Sensors that a later phase adds have passwords from the start; without the scenario they have none."""
    fleets = fleets_with_users
    fleets.apply(identity=_PASSWORD, scenario={"phases": [{"name": "more", "duration": "1m", "replicas": 5}]})
    fleets.reconcile()
    sensors = SensorFleet(fleets.kubectl, "demo")
    assert set(secret_data(fleets.kubectl, "demo-identity-0")) == set(users(fleets)) == sensors.sensors(range(5))
    fleets.apply(identity=_PASSWORD)
    fleets.reconcile()
    assert set(secret_data(fleets.kubectl, "demo-identity-0")) == set(users(fleets)) == sensors.sensors(range(3))


def test_each_sensor_gets_a_certificate_that_the_broker_can_check(fleets_with_users: Fleets, tmp_path: Path) -> None:
    """The fleet owns a Secret with a certificate per sensor, and the broker's has authority and revoked ones."""
    make_certificates(tmp_path).ca.rename(tmp_path / "tls.crt")
    (tmp_path / "ca.key").rename(tmp_path / "tls.key")
    fleets = replace(fleets_with_users, authority=Authority.read(tmp_path))
    fleets.apply(identity=_CERTIFICATE | {"revoked": [1]})
    fleets.reconcile()
    certificates = secret_data(fleets.kubectl, "demo-identity-0")
    assert set(certificates) == {f"{sensor}.pem" for sensor in SensorFleet(fleets.kubectl, "demo").sensors(range(3))}
    files = secret_data(fleets.kubectl, _BROKER_USERS)
    assert set(files) == {"ca.crt", "crl.pem"}
    revoked = x509.load_pem_x509_certificate(certificates[sorted(certificates)[1]].encode())
    revoked.verify_directly_issued_by(x509.load_pem_x509_certificate(files["ca.crt"].encode()))
    listed = [entry.serial_number for entry in x509.load_pem_x509_crl(files["crl.pem"].encode())]
    assert listed == [revoked.serial_number]
    fleets.reconcile()
    assert secret_data(fleets.kubectl, "demo-identity-0") == certificates
    assert secret_data(fleets.kubectl, _BROKER_USERS) == files


def test_a_rescale_and_a_rotation_change_no_other_sensor(fleets_with_users: Fleets) -> None:
    """Added, removed and rotated sensors leave the others' passwords and hashes, and the pod template, as they are."""
    fleets = fleets_with_users
    fleets.apply(identity=_PASSWORD)
    fleets.reconcile()
    before, hashes = secret_data(fleets.kubectl, "demo-identity-0"), users(fleets)
    template = fleets.get("statefulset")["spec"]["template"]
    fleets.kubectl("scale", "fleet/demo", "--replicas=5")
    assert "Secret demo-identity-0 changed" in fleets.reconcile().result.changes
    scaled = secret_data(fleets.kubectl, "demo-identity-0")
    assert len(scaled) == len(users(fleets)) == 5
    assert before.items() <= scaled.items()
    assert hashes.items() <= users(fleets).items()
    rotated = sorted(before)[1]
    forget(fleets.kubectl, "demo-identity-0", rotated)
    fleets.reconcile()
    after = secret_data(fleets.kubectl, "demo-identity-0")
    assert {name for name in scaled if after[name] != scaled[name]} == {rotated}
    assert {name for name in hashes if users(fleets)[name] != hashes[name]} == {rotated}
    fleets.kubectl("scale", "fleet/demo", "--replicas=1")
    fleets.reconcile()
    assert set(users(fleets)) == set(secret_data(fleets.kubectl, "demo-identity-0")) == {min(before)}
    assert fleets.get("statefulset")["spec"]["template"] == template


def test_a_password_of_the_users_own_is_kept_until_its_sensor_goes(fleets_with_users: Fleets) -> None:
    """A password that somebody has written reaches the broker, and goes with its sensor."""
    fleets = fleets_with_users
    fleets.apply(identity=_PASSWORD)
    fleets.reconcile()
    sensor = max(users(fleets))
    former = users(fleets)[sensor]
    patch = json.dumps({"stringData": {sensor: "chosen"}})
    fleets.kubectl("patch", "secret", "demo-identity-0", "--type=merge", "--patch", patch)
    fleets.reconcile()
    assert secret_data(fleets.kubectl, "demo-identity-0")[sensor] == "chosen"
    assert users(fleets)[sensor] != former
    fleets.kubectl("scale", "fleet/demo", "--replicas=1")
    fleets.reconcile()
    assert len(secret_data(fleets.kubectl, "demo-identity-0")) == 1


def test_a_revoked_sensor_is_no_user_of_the_broker(fleets_with_users: Fleets) -> None:
    """The broker's Secret has no hash of it, and gets the former one's successor when it is no longer revoked."""
    fleets = fleets_with_users
    fleets.apply(identity=_PASSWORD | {"revoked": [1, 9]})
    fleets.reconcile()
    sensor = sorted(secret_data(fleets.kubectl, "demo-identity-0"))[1]
    assert len(users(fleets)) == 2
    assert sensor not in users(fleets)
    fleets.apply(identity=_PASSWORD)
    fleets.reconcile()
    assert sensor in users(fleets)


def test_users_of_a_deleted_fleet_are_removed(fleets_with_users: Fleets) -> None:
    """The broker's Secret has nothing of a fleet that does not exist, even if another operator finds out."""
    fleets = fleets_with_users
    fleets.apply(identity=_PASSWORD)
    fleets.reconcile()
    fleets.kubectl("delete", "fleet/demo", "--wait")
    assert fleets.reconcile().result.outcome is Outcome.GONE
    assert secret_data(fleets.kubectl, _BROKER_USERS) == {}


def test_a_settled_fleet_is_only_read(fleets_with_users: Fleets) -> None:
    """A second reconcile writes nothing about credentials."""
    fleets = fleets_with_users
    fleets.apply(identity=_PASSWORD)
    fleets.reconcile()
    before = [fleets.get("secret", name)["metadata"]["resourceVersion"] for name in ("demo-identity-0", _BROKER_USERS)]
    fleets.reconcile()
    after = [fleets.get("secret", name)["metadata"]["resourceVersion"] for name in ("demo-identity-0", _BROKER_USERS)]
    assert before == after


@pytest.mark.parametrize(
    ("prepare", "reason", "words"),
    [
        (["delete", "secret", _BROKER_USERS], "MissingSecret", f"Secret {_BROKER_USERS} in "),
        (["create", "secret", "generic", "demo-identity-0"], "ForeignChild", "Secret demo-identity-0 exists"),
    ],
)
def test_why_sensors_have_no_users_is_a_condition(
    fleets_with_users: Fleets, prepare: list[str], reason: str, words: str
) -> None:
    """A fleet whose sensors cannot have users is stalled, and has no pods."""
    fleets = fleets_with_users
    fleets.kubectl(*prepare)
    fleets.apply(identity=_PASSWORD)
    fleets.reconcile()
    condition = fleets.condition("Stalled")
    assert (condition["status"], condition["reason"]) == ("True", reason)
    assert condition["message"].startswith(words)
    assert not fleets.kubectl("get", "statefulset", "--output=name")
    fleets.kubectl("delete", "secret", "demo-identity-0", "--ignore-not-found")


def test_without_a_broker_of_the_chart_users_are_yours(fleets: Fleets) -> None:
    """The condition says what is possible, and with a Secret of the user's own the pods mount it."""
    fleets.apply(identity=_PASSWORD)
    fleets.reconcile()
    condition = fleets.condition("Stalled")
    assert condition["reason"] == "IdentityUnavailable"
    assert "identity.secretName" in condition["message"]
    fleets.apply(identity=_PASSWORD | {"secretName": "mine"})
    fleets.reconcile()
    (volume,) = (
        volume
        for volume in fleets.get("statefulset")["spec"]["template"]["spec"]["volumes"]
        if volume["name"] == "identity"
    )
    assert [source["secret"]["name"] for source in volume["projected"]["sources"]] == ["mine"]


@pytest.fixture(scope="module")
def fleet(release: Release) -> Iterator[SensorFleet]:
    """A fleet of fifty sensors with passwords of their own."""
    running = SensorFleet(release.kubectl, "identified")
    running.apply(50, sensorsPerPod=25, identity=_PASSWORD)
    yield running
    running.delete()


def test_sensors_with_users_publish_connected_traces(fleet: SensorFleet, scout: Scout) -> None:
    """Each of fifty sensors with passwords of their own connects and publishes on its own topic."""
    fleet.wait_ready(50)
    since = now()
    until(lambda: connected_sensors(scout, fleet, since) == fleet.sensors(range(50)), "traces of all sensors", 120)


def test_a_revoked_sensor_is_refused(fleet: SensorFleet) -> None:
    """The fleet shows 49 of 50 with the sensor and the reason, no pod restarts, and then the sensor comes back."""
    fleet.wait_ready(50)
    before = fleet.pod_uids()
    fleet.patch(identity={"revoked": [7]})
    (sensor,) = fleet.sensors([7])
    words = f"49 of 50 sensors connected, revoked: {sensor}: the broker refused"
    try:
        until(lambda: fleet.wait_reason("Revoked").startswith(words), f"Ready says: {words}", 120)
    finally:
        fleet.patch(identity={"revoked": None})
    fleet.wait_ready(50)
    assert fleet.pod_uids() == before


def test_a_rotated_password_disconnects_no_other_sensor(fleet: SensorFleet, release: Release) -> None:
    """A new password after its key was deleted reaches sensor and broker, and no other sensor loses its connection."""
    fleet.wait_ready(50)
    before = fleet.pod_uids()
    (sensor,) = fleet.sensors([3])
    former = secret_data(release.kubectl, "identified-identity-0")
    since = now()
    forget(release.kubectl, "identified-identity-0", sensor)
    until(lambda: secret_data(release.kubectl, "identified-identity-0").get(sensor), "a new password", 60)
    fleet.wait_ready(50)
    after = secret_data(release.kubectl, "identified-identity-0")
    assert {name for name in former if after[name] != former[name]} == {sensor}

    def reconnected() -> list[str]:
        log = release.log("mosquitto", since)
        return [line for line in log.splitlines() if f".{fleet.name}-" in line and "New client connected" in line]

    until(reconnected, "the sensor reconnects", 120)
    fleet.wait_ready(50)
    assert all(sensor in line for line in reconnected())
    assert fleet.pod_uids() == before
