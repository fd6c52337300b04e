"""Faulty setups fail, and their errors say why."""

import json
import re
import secrets
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from e2e.client_pods import ClientPods
from e2e.readings import expected_of, require_exact
from e2e.release import Published, Release, now, spans_of, until
from local.scout import Scout

NOT_AUTHORIZED = 0x87
SUCCESS = 0x00


@pytest.fixture(scope="module")
def ask(release: Release) -> Iterator[ClientPods]:
    """Pods that connect to the broker."""
    pods = ClientPods(release)
    yield pods
    pods.close()


@pytest.fixture
def without_propagation(release: Release) -> Iterator[None]:
    """The producer sends no context while the test runs."""
    release.apply("producer.env.OTEL_PROPAGATORS=none")
    yield
    release.apply()


@pytest.fixture
def restore_secret(release: Release) -> Iterator[Callable[[], None]]:
    """The Collector has a client secret that the backend does not know, until this is called or the test ends."""
    right = release.kubectl.json("get", "secret", release.object("scout-sim"))["data"]["client-secret"]
    set_client_secret(release, b64encode(secrets.token_hex(16).encode()).decode())
    with ExitStack() as broken:
        broken.callback(set_client_secret, release, right)
        yield broken.close


def set_client_secret(release: Release, encoded: str) -> None:
    """Change the Collector's client secret, which the backend has read already."""
    patch = json.dumps({"data": {"client-secret": encoded}})
    release.kubectl("patch", "secret", release.object("scout-sim"), "--patch", patch)
    release.delete_pod("otel-collector")
    release.roll_out(f"statefulset/{release.object('otel-collector')}")


@pytest.mark.usefixtures("without_propagation")
def test_without_propagation_no_reading_is_connected(release: Release, scout: Scout) -> None:
    """The check of the four spans fails, and the consumer's span has the reason of the missing context."""
    start = now()
    readings = release.published_next(2, start)
    until(lambda: spans_of(scout, readings[-1].trace_id), "the publish span arrives", 60)
    with pytest.raises(AssertionError, match="is connected"):
        require_exact(scout, readings, expected_of(release), seconds=10)
    orphans = until(
        lambda: scout.trace_ids(missing_context="true", since=str(start.timestamp())), "a trace without context", 60
    )
    (root,) = [span for span in spans_of(scout, orphans[0]) if span["parent_span_id"] is None]
    assert root["kind"] == "CONSUMER"
    assert root["attributes"]["mqtt.missing_context_reason"] == "absent"


def spans_printed(release: Release, reading: Published) -> set[str]:
    """Return the names of a reading's spans in the Collector's log, where each has a line with name and both ids."""
    lines = re.finditer(rf"^(.+) {reading.trace_id} [0-9a-f]{{16}}\b", release.log("otel-collector"), re.MULTILINE)
    return {line[1] for line in lines}


def test_a_wrong_client_secret_is_named_in_log_and_helm_test(
    release: Release, scout: Scout, restore_secret: Callable[[], None]
) -> None:
    """Until the secret is right, no span arrives; the Collector logs the error, and `helm test` names the step."""
    readings = release.published_next(4, now())
    for reading in readings:
        until(lambda reading=reading: len(spans_printed(release, reading)) == 4, "the Collector prints four spans", 60)  # type: ignore[misc] # mypy does not infer a lambda with a default
    until(lambda: "invalid_client" in release.log("otel-collector"), "the Collector's log names the refusal", 60)
    said = release.failing_test()
    assert "credentials: FAILED" in said
    assert "invalid_client" in said
    assert "next: kubectl" in said
    assert not any(spans_of(scout, reading.trace_id) for reading in readings)
    restore_secret()
    require_exact(scout, readings, expected_of(release))


def test_a_pod_needs_the_label_to_reach_the_broker(ask: ClientPods) -> None:
    """The NetworkPolicy blocks a pod without the label, and admits an identical pod with it."""
    assert "unreachable" in ask("outsider", "producer", publish="sensors/control-001/reading")
    assert ask("insider", "producer", publish="sensors/_probe-control/reading")["connack"] == SUCCESS


def test_a_wrong_password_is_refused(ask: ClientPods) -> None:
    """The CONNACK has the reason code for not authorized."""
    answer = ask("insider", "producer", password="wrong", publish="sensors/control-001/reading")  # noqa: S106 - that is the point
    assert answer["connack"] == NOT_AUTHORIZED
    assert "puback" not in answer


def test_a_publish_against_the_acl_is_refused(ask: ClientPods) -> None:
    """The ACL refuses the publish in the PUBACK as not authorized, and accepts that of the consumer's user."""
    assert ask("insider", "producer", publish="dead-letter/control")["puback"] == NOT_AUTHORIZED
    assert ask("insider", "consumer", publish="dead-letter/control")["puback"] != NOT_AUTHORIZED


def test_a_subscription_against_the_acl_gets_nothing(ask: ClientPods) -> None:
    """The producer's user receives no reading, while the consumer's user does from the same place."""
    assert ask("insider", "producer", subscribe="sensors/+/reading")["received"] == []
    assert ask("insider", "consumer", subscribe="sensors/+/reading")["received"] != []
