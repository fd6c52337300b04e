"""The explanation of a lost connection."""

from __future__ import annotations

from mqtt_trace_consumer.disconnects import Disconnects


class Clock:
    """A clock that the test sets."""

    now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def test_a_session_taken_over_names_the_client_id() -> None:
    """Reason code 0x8E, which a broker sends to the older of two clients with one id, is explained with the id."""
    disconnects = Disconnects("twin", Clock())
    disconnects.up()
    assert disconnects.explain("the broker closed the connection", 0x8E) == (
        "another client has connected with our client id 'twin': give each replica an MQTT_CLIENT_ID of its own"
    )


def test_several_short_connections_are_suspicious() -> None:
    """Several short connections in a row, but not a single one, suggest another client with the same id."""
    disconnects = Disconnects("twin", Clock())
    disconnects.up()
    assert disconnects.explain("connection lost", 0) == "connection lost"
    disconnects.up()
    assert "another client may have our client id 'twin'" in disconnects.explain("connection lost", 0)


def test_short_connections_with_a_reason_code_are_not_suspicious() -> None:
    """Short connections that end with a reason code, such as a broker's shutdown, do not suggest another client."""
    disconnects = Disconnects("twin", Clock())
    for reason_code in (0x8B, 0x93, 0x8B):
        disconnects.up()
        assert disconnects.explain("ended", reason_code) == "ended"


def test_failed_attempts_and_long_connections_are_not_suspicious() -> None:
    """Failed attempts and long connections do not suggest another client with the same id."""
    clock = Clock()
    disconnects = Disconnects("twin", clock)
    for _ in range(5):
        assert disconnects.explain("refused", 0) == "refused"
    for _ in range(5):
        disconnects.up()
        clock.now += 60
        assert disconnects.explain("connection lost", 0) == "connection lost"
