"""Passwords of sensors, and what Mosquitto makes of their hashes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mqtt_trace_operator.identity.passwords import choose_passwords, make_lines
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from local.mosquitto import Mosquitto
from local.waiting import until

NAMES = [f"iot.demo-{number:05d}" for number in range(3)]


def test_passwords_stay_and_differ() -> None:
    """A sensor keeps its password, a new one gets one of its own, and an empty one is replaced."""
    chosen = choose_passwords(NAMES, {NAMES[0]: b"mine", NAMES[1]: b"", "iot.demo-00009": b"gone"})
    assert list(chosen) == NAMES
    assert chosen[NAMES[0]] == b"mine"
    assert len(set(chosen.values())) == len(NAMES)
    assert all(len(password) == 32 for password in list(chosen.values())[1:])


def test_a_line_changes_only_with_its_password() -> None:
    """A line whose hash fits is kept; another password, a damaged line and a new user get a new one."""
    passwords = {NAMES[0]: b"a", NAMES[1]: b"b"}
    first, second = make_lines(passwords, [])
    assert make_lines(passwords, [second, first]) == [first, second]
    changed = make_lines(passwords | {NAMES[1]: b"c", NAMES[2]: b"d"}, [first, second])
    assert changed[0] == first
    assert changed[1] != second
    assert len(changed) == 3
    for damaged in (f"{NAMES[1]}:$7$x", f"{NAMES[1]}:$7$101$!$!", NAMES[1], second.replace("$7$", "$6$")):
        assert make_lines(passwords, [first, damaged])[1] not in (damaged, second)


def test_mosquitto_accepts_the_password_of_a_line(make_broker: Callable[..., Mosquitto], tmp_path: Path) -> None:
    """Mosquitto reads the lines, accepts a sensor with its password and refuses another password."""
    file = tmp_path / "passwords"
    file.touch(mode=0o600)
    file.write_text("".join(f"{line}\n" for line in make_lines({NAMES[0]: b"right"}, [])))
    broker = make_broker(config=["allow_anonymous false", f"password_file {file}"])
    for password, code in {"right": 0, "wrong": 5}.items():
        answers: list[int] = []
        client = Client(CallbackAPIVersion.VERSION2, NAMES[0])
        client.username_pw_set(NAMES[0], password)
        client.on_connect = lambda _client, _userdata, _flags, reason, _properties, to=answers: to.append(reason.value)
        client.connect(broker.host, broker.port)
        client.loop_start()
        until(lambda: answers, "CONNACK")  # noqa: B023 - called before the next turn
        client.loop_stop()
        client.disconnect()
        assert (answers[0] == 0) is (code == 0)
