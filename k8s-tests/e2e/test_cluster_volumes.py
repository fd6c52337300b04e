"""The commands of the page about volumes keep, resize, back up and rescue what its sections say."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e import reader
from e2e.conftest import NAMESPACE
from e2e.reader import PLACE
from e2e.release import Published, Release, now, spans_of, until
from local.commands import Helm, Kubectl
from local.documents import blocks
from local.scout import Scout

KEEP, INSTALL_AGAIN, RESIZE, BACK_UP, RESTORE, RESCUE = range(6)
CLASS = f"{NAMESPACE}-volumes"
TRACE_ID = "5b8efff798038103d269b633813fc60c"


@pytest.fixture(scope="module")
def release(make_namespace: Callable[[str], Kubectl], options: tuple[str, ...]) -> Iterator[Release]:
    """A release whose broker's volume the API server lets expand; it is deleted after the tests."""
    kubectl = make_namespace(CLASS)
    kubectl("delete", "storageclass", CLASS, "--ignore-not-found")
    kubectl("apply", "--filename", "-", stdin=json.dumps(storage_class(kubectl)))
    installed = Release("demo", Helm(kubectl.kubeconfig, CLASS), kubectl, options)
    installed.apply("operator.enabled=false", "crds.enabled=false", f"broker.persistence.storageClass={CLASS}")
    yield installed
    kubectl("delete", "namespace", CLASS, "--wait=false")
    kubectl("delete", "storageclass", CLASS)


@pytest.fixture(scope="module")
def scout(release: Release, open_scout: Callable[[Release], Scout]) -> Scout:
    """The query API of the release's scout-sim."""
    return open_scout(release)


@pytest.fixture
def follow(release: Release, tmp_path: Path) -> Callable[[int], str]:
    """Run a block of the page by its number; its files are the test's own."""
    env = reader.environment(release.kubectl, tmp_path)
    page = blocks("how-to/volumes.md", "sh", PLACE)
    return lambda number: reader.run(page[number].code.replace("/tmp/", f"{tmp_path}/"), env)  # noqa: S108 - the page's


def storage_class(kubectl: Kubectl) -> dict[str, Any]:
    """Return the cluster's default class under another name, with expansion."""
    classes = kubectl.json("get", "storageclass")["items"]
    default = "storageclass.kubernetes.io/is-default-class"
    (found,) = [item for item in classes if item["metadata"].get("annotations", {}).get(default) == "true"]
    kept = {name: value for name, value in found.items() if name != "metadata"}
    return {**kept, "metadata": {"name": CLASS}, "allowVolumeExpansion": True}


def claims(release: Release) -> dict[str, Any]:
    """Return the claims of broker and Collectors by name."""
    found = release.kubectl.json("get", "persistentvolumeclaims")["items"]
    return {claim["metadata"]["name"]: claim for claim in found if "scout-sim" not in claim["metadata"]["name"]}


def queue_a_reading(release: Release) -> Published:
    """Return a reading that waits in the broker for a consumer, which does not run."""
    release.scale("statefulset/demo-mqtt-trace-consumer", 0)
    return release.published_next(1, now())[0]


def processed(scout: Scout, reading: Published) -> int:
    """Return how many times a reading was processed."""
    return sum(span["kind"] == "CONSUMER" for span in spans_of(scout, reading.trace_id))


def test_the_broker_runs_on_while_its_volume_grows(release: Release, follow: Callable[[int], str]) -> None:
    """Claim and StatefulSet have the new size, and the pod is the same."""
    (before,) = release.pods("mosquitto")
    follow(RESIZE)
    release.roll_out("statefulset/demo-mqtt-trace-mosquitto")
    (after,) = release.pods("mosquitto")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    sizes = [claims(release)["data-demo-mqtt-trace-mosquitto-0"]["spec"]]
    sizes += [
        template["spec"]
        for template in release.kubectl.json("get", "statefulset", "demo-mqtt-trace-mosquitto")["spec"][
            "volumeClaimTemplates"
        ]
    ]
    assert [spec["resources"]["requests"]["storage"] for spec in sizes] == ["2Gi", "2Gi"]


def test_a_backup_has_the_queued_readings(release: Release, scout: Scout, follow: Callable[[int], str]) -> None:
    """A reading that was processed after the backup is delivered again after the restore."""
    reading = queue_a_reading(release)
    follow(BACK_UP)
    release.scale("statefulset/demo-mqtt-trace-consumer", 1)
    until(lambda: processed(scout, reading) == 1, "the reading is processed", 60)
    release.scale("statefulset/demo-mqtt-trace-consumer", 0)
    follow(RESTORE)
    release.scale("statefulset/demo-mqtt-trace-consumer", 1)
    until(lambda: processed(scout, reading) == 2, "the reading is processed again", 60)


def test_a_removed_collectors_telemetry_is_rescued(
    release: Release, scout: Scout, follow: Callable[[int], str]
) -> None:
    """A span that only the removed Collector had arrives, and then its volume is gone."""
    release.scale("statefulset/demo-mqtt-trace-otel-collector", 2)
    release.scale("statefulset/demo-mqtt-trace-scout-sim", 0)
    send_span(release, "demo-mqtt-trace-otel-collector-1.demo-mqtt-trace-otel-collectors")
    release.scale("statefulset/demo-mqtt-trace-otel-collector", 1)
    release.scale("statefulset/demo-mqtt-trace-scout-sim", 1)
    assert not spans_of(scout, TRACE_ID)
    follow(RESCUE)
    until(lambda: spans_of(scout, TRACE_ID), "the span arrives", 60)
    assert "data-demo-mqtt-trace-otel-collector-1" not in claims(release)


def send_span(release: Release, host: str) -> None:
    """Send one span to a Collector, from the producer's pod."""
    span = {"traceId": TRACE_ID, "spanId": "eee19b7ec3c1b174", "name": "kept", "kind": 1}
    span |= {
        "startTimeUnixNano": str(int(now().timestamp() * 1e9)),
        "endTimeUnixNano": str(int(now().timestamp() * 1e9)),
    }
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})
    code = (
        "import sys, urllib.request as r;"
        f"r.urlopen(r.Request('http://{host}:4318/v1/traces', sys.stdin.buffer.read(),"
        " {'Content-Type': 'application/json'}))"
    )
    release.kubectl("exec", "--stdin", "deployment/demo-mqtt-trace-producer", "--", "python", "-c", code, stdin=body)


def test_queued_readings_outlive_the_release(release: Release, scout: Scout, follow: Callable[[int], str]) -> None:
    """After an uninstall, a release of the same name has the volumes and processes what was queued."""
    reading = queue_a_reading(release)
    before = {name: claim["metadata"]["uid"] for name, claim in claims(release).items()}
    follow(KEEP)
    follow(INSTALL_AGAIN)
    assert {name: claim["metadata"]["uid"] for name, claim in claims(release).items()} == before
    until(lambda: processed(scout, reading), "the reading is processed", 60)
