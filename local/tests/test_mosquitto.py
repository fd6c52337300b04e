"""The broker that every other test relies on."""

import os
import signal
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from local import mosquitto
from local.mosquitto import Mosquitto
from local.processes import ProcessError
from local.waiting import until

MakeBroker = Callable[..., Mosquitto]


def publish(broker: Mosquitto, topic: str, payload: str, *more: str) -> subprocess.CompletedProcess[str]:
    """Publish with QoS 1 through the command line client."""
    address = ["-h", broker.host, "-p", str(broker.port)]
    message = ["-V", "5", "-q", "1", "-t", topic, "-m", payload]
    return subprocess.run(
        ["mosquitto_pub", *address, *message, *more], check=False, capture_output=True, text=True, timeout=20
    )


def receive(broker: Mosquitto, topic: str, *more: str) -> str:
    """Return the payload of one message on a topic, empty if none arrives in time."""
    command = ["mosquitto_sub", "-h", broker.host, "-p", str(broker.port), "-V", "5", "-q", "1", "-t", topic]
    done = subprocess.run(
        [*command, "-C", "1", "-W", "5", *more], check=False, capture_output=True, text=True, timeout=20
    )
    return done.stdout.strip()


def make_session(broker: Mosquitto, client_id: str, topic: str) -> list[str]:
    """Create a persistent session with a subscription, and return the options that resume it."""
    options = ["-i", client_id, "-c", "-x", "3600"]
    command = ["mosquitto_sub", "-h", broker.host, "-p", str(broker.port), "-V", "5", "-q", "1", "-t", topic]
    subprocess.run([*command, "-E", *options], check=True, timeout=20)
    return options


def test_a_started_broker_carries_a_retained_message(broker: Mosquitto) -> None:
    """A retained message of one client reaches another."""
    publish(broker, "test-mosquitto/carries", "hello", "--retain")
    assert receive(broker, "test-mosquitto/carries") == "hello"


def test_a_restart_keeps_the_port_and_what_waits_for_a_session(make_broker: MakeBroker) -> None:
    """A message queued for a persistent session is delivered after SIGTERM and a new start on the same port."""
    broker = make_broker()
    port = broker.port
    session = make_session(broker, "waiting", "a/topic")
    assert publish(broker, "a/topic", "kept").returncode == 0
    broker.restart()
    assert broker.port == port
    assert receive(broker, "a/topic", *session) == "kept"


def test_a_killed_broker_comes_back_with_its_last_save(make_broker: MakeBroker) -> None:
    """SIGKILL loses only messages published after the last save."""
    broker = make_broker()
    session = make_session(broker, "waiting", "a/topic")
    publish(broker, "a/topic", "saved")
    os.kill(broker.pid, signal.SIGUSR1)  # Mosquitto saves
    until(
        lambda: "Saving in-memory database" in broker.log and (broker.log_file.parent / "mosquitto.db").exists(),
        "the broker has saved its database",
    )
    publish(broker, "a/topic", "lost")
    broker.kill()
    assert not broker.running
    broker.start()
    assert receive(broker, "a/topic", *session) == "saved"
    assert receive(broker, "a/topic", *session, "-W", "1") == ""


def test_users_and_acl_are_enforced(make_broker: MakeBroker) -> None:
    """Anonymous clients and wrong passwords are refused, and an ACL hides a topic."""
    broker = make_broker(users={"sensor": "s3cret"}, acl=["user sensor", "topic readwrite open/#"])
    sensor = ["-u", "sensor", "-P", "s3cret"]
    assert publish(broker, "open/topic", "x").returncode != 0
    assert publish(broker, "open/topic", "x", "-u", "sensor", "-P", "wrong").returncode != 0
    assert publish(broker, "open/topic", "allowed", "--retain", *sensor).returncode == 0
    assert "Not authorized" in publish(broker, "closed/topic", "x", *sensor).stderr
    assert receive(broker, "open/topic", *sensor) == "allowed"


def test_tls_is_trusted_by_its_authority_only(make_broker: MakeBroker) -> None:
    """A client that trusts `ca_file` connects with full verification; another one cannot."""
    broker = make_broker(tls=True)
    assert broker.ca_file is not None
    assert publish(broker, "t", "x", "--cafile", str(broker.ca_file)).returncode == 0
    assert publish(broker, "t", "x").returncode != 0
    strict = ssl.create_default_context(cafile=broker.ca_file)
    strict.verify_flags |= ssl.VERIFY_X509_STRICT
    pem = ssl.get_server_certificate((broker.host, broker.port), ca_certs=str(broker.ca_file))
    assert pem.startswith("-----BEGIN CERTIFICATE-----")


def test_many_messages_wait_for_a_session_that_is_away(make_broker: MakeBroker) -> None:
    """The broker keeps more than its default of 1,000 messages for a paused consumer."""
    broker = make_broker()
    session = make_session(broker, "away", "many")
    lines = "".join(f"{number}\n" for number in range(1500))
    subprocess.run(
        ["mosquitto_pub", "-h", broker.host, "-p", str(broker.port), "-V", "5", "-q", "1", "-t", "many", "-l"],
        input=lines,
        text=True,
        check=True,
        timeout=60,
    )
    command = ["mosquitto_sub", "-h", broker.host, "-p", str(broker.port), "-V", "5", "-q", "1", "-t", "many"]
    done = subprocess.run(
        [*command, *session, "-C", "1500", "-W", "20"], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == lines


def test_a_wrong_configuration_is_reported_with_its_cause(tmp_path: Path) -> None:
    """If the broker ends at once, the error names the cause without waiting for the deadline."""
    broker = Mosquitto(config=["no_such_option 1"], folder=tmp_path)
    with pytest.raises(ProcessError, match=r"^mosquitto ended with \d+ before it was ready: .*log: ") as error:
        broker.start()
    assert "no_such_option" in "".join(error.value.__notes__)


def test_without_mosquitto_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without Mosquitto the error says to run make setup."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(mosquitto, "_MORE_PATH", [])
    with pytest.raises(ProcessError, match="mosquitto is not installed: run make setup"):
        Mosquitto(folder=tmp_path)
