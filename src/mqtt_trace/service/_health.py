"""Liveness and readiness over HTTP."""

from collections.abc import Callable, Mapping
from typing import Self

Status = Callable[[], tuple[bool, Mapping[str, object]]]
"""Says whether the service is ready, and why: the JSON object that `GET /ready` answers with."""


class HealthServer:
    """Answers `GET /health` (200 while the loop runs) and `GET /ready` (200 or 503, by `status`).

    Use as an async context manager. `port` 0 takes a free one.

    Raises:
        mqtt_trace.ConfigurationError: On entering, when `HEALTH_HOST` or `HEALTH_PORT` cannot be listened on.
    """

    def __init__(self, host: str, port: int, status: Status) -> None:
        self.host = host
        self.port = port

    async def __aenter__(self) -> Self:
        raise NotImplementedError

    async def __aexit__(self, *exc_info: object) -> None:
        raise NotImplementedError
