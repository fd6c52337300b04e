"""Explains why there is no connection, and what to change."""

from __future__ import annotations

from collections.abc import Callable

_SESSION_TAKEN_OVER = 0x8E
_SHORT_S = 30.0
_SUSPICIOUS = 2


class Disconnects:
    """Explains lost connections, including those that another client with our client id takes over.

    The broker ends the older connection with reason code 0x8E (MQTT 5, section 3.1.4-3). Mosquitto before 2.0.12 sends
    no reason code. Several short connections in a row without a reason code are therefore reported as a suspicion.

    Args:
        client_id: Our own.
        clock: Seconds, from any origin.
    """

    def __init__(self, client_id: str, clock: Callable[[], float]) -> None:
        self._client_id = client_id
        self._clock = clock
        self._up_since: float | None = None
        self._short = 0

    def up(self) -> None:
        """Note that the connection is up."""
        self._up_since = self._clock()

    def explain(self, cause: str, reason_code: int) -> str:
        """Explain a lost connection or a failed attempt to connect."""
        if self._up_since is not None:
            short = self._clock() - self._up_since < _SHORT_S and not reason_code
            self._short = self._short + 1 if short else 0
            self._up_since = None
        if reason_code == _SESSION_TAKEN_OVER:
            return f"another client has connected with our client id {self._remedy}"
        if self._short >= _SUSPICIOUS:
            return f"{cause}, again soon after connecting; another client may have our client id {self._remedy}"
        return cause

    @property
    def _remedy(self) -> str:
        return f"{self._client_id!r}: give each replica an MQTT_CLIENT_ID of its own"
