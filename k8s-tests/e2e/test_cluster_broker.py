"""Mosquitto short of memory, with a damaged file, and with new passwords."""

import json
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from e2e.client_pods import ClientPods
from e2e.release import Release, now, until
from local.commands import Helm, Kubectl

NAMESPACE = "mqtt-trace-e2e-broker"
NOT_AUTHORIZED = 0x87
FLOOD = Path(__file__).with_name("mqtt_flood.py")
ONLY_THE_BROKER = (
    "collector.external.endpoint=http://nowhere:4318",
    "operator.enabled=false",
    "crds.enabled=false",
    "broker.resources.limits.memory=64Mi",
)
WITHOUT_CONSUMER = ("consumer.enabled=false", "echo.enabled=false")


@pytest.fixture(scope="module")
def broker(release: Release, make_namespace: Callable[[str], Kubectl], options: tuple[str, ...]) -> Iterator[Release]:
    """A release of a producer and a Mosquitto with little memory; the cluster has the CRD."""
    del release
    kubectl = make_namespace(NAMESPACE)
    small = Release("small", Helm(kubectl.kubeconfig, NAMESPACE), kubectl, options)
    small.apply(*ONLY_THE_BROKER, *WITHOUT_CONSUMER)
    yield small
    kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def passwords(broker: Release) -> dict[str, str]:
    """Return the passwords of the broker's users."""
    data = broker.kubectl.json("get", "secret", broker.object("auth"))["data"]
    return {key.removesuffix("-password"): b64decode(value).decode() for key, value in data.items()}


def mosquitto(broker: Release) -> str:
    """Return the name of Mosquitto's pod."""
    return f"{broker.object('mosquitto')}-0"


def restarts(broker: Release) -> int:
    """Return how often Mosquitto's container has restarted."""
    (pod,) = broker.pods("mosquitto")
    count: int = pod["status"]["containerStatuses"][0]["restartCount"]
    return count


def test_a_flood_is_refused_before_the_memory_ends(broker: Release) -> None:
    """Every acknowledged message is delivered, the container does not restart, and the producer logs its refusals."""
    pods = ClientPods(broker)
    before = restarts(broker)
    wanted = json.dumps({"host": broker.object("mosquitto"), "passwords": passwords(broker)})
    exec_python = ("exec", "--stdin", "insider", "--", "python", "-", wanted)
    result = json.loads(broker.kubectl(*exec_python, stdin=FLOOD.read_text(), timeout_s=180))
    pods.close()
    assert result["refused"] == [NOT_AUTHORIZED]
    assert result["acknowledged"] > 100
    assert result["undelivered"] == 0
    assert restarts(broker) == before
    assert "refusing messages with 0x87" in broker.log("mosquitto")
    until(lambda: "0x87 Not authorized" in broker.log("producer"), "the producer logs the reason", 60)
    assert {pod["status"]["containerStatuses"][0]["ready"] for pod in broker.pods("producer")} == {True}


def test_mosquitto_starts_with_a_damaged_file(broker: Release) -> None:
    """The file is moved aside, and the description of the pod says so."""
    data = "/mosquitto/data/mosquitto.db"
    # The folder keeps Mosquitto from writing a sound file when it stops.
    broker.kubectl("exec", mosquitto(broker), "--", "sh", "-c", f"mkdir {data}.new && head -c 99 /dev/urandom > {data}")
    broker.delete_pod("mosquitto")
    broker.roll_out(f"statefulset/{broker.object('mosquitto')}")
    assert "mosquitto.db is damaged: moved" in broker.kubectl("describe", "pod", mosquitto(broker))
    broker.kubectl("exec", mosquitto(broker), "--", "sh", "-c", f"test -s {data}.damaged && rmdir {data}.new")


def test_new_passwords_reach_all_pods(broker: Release) -> None:
    """An upgrade restarts those who use a Secret that was deleted or changed, and the next restarts nobody."""
    with_own = (*ONLY_THE_BROKER, "producer.envFrom[0].secretRef.name=own")
    broker.kubectl("create", "secret", "generic", "own", "--from-literal=MINE=old")
    broker.apply(*with_own)
    old = passwords(broker)
    broker.kubectl("delete", "secret", broker.object("auth"))
    broker.apply(*with_own)
    assert set(passwords(broker).values()).isdisjoint(old.values())
    broker.published_next(2, now())

    def pods() -> dict[str, str]:
        named = [pod["metadata"] for part in ("mosquitto", "producer", "consumer") for pod in broker.pods(part)]
        return {metadata["uid"]: metadata["labels"]["app.kubernetes.io/component"] for metadata in named}

    until(lambda: len(pods()) == 3, "the old pods are gone", 120)
    before = pods()
    broker.apply(*with_own)
    assert pods() == before
    broker.kubectl("patch", "secret", "own", "--patch", '{"stringData": {"MINE": "new"}}')
    broker.apply(*with_own)
    until(lambda: len(pods()) == 3, "the old pods are gone", 120)
    after = pods()
    assert {after[uid] for uid in after.keys() - before.keys()} == {"producer"}
