"""Liveness and readiness over HTTP."""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Self

from aiohttp import web

from mqtt_trace_service._listen import listen

Status = Callable[[], tuple[bool, Mapping[str, object]]]
"""Returns whether the service is ready, and the details for the JSON object of `GET /ready`."""

Alive = Callable[[], bool]
"""Returns whether the service can continue on its own; if not, Kubernetes restarts it."""

Document = Callable[[], Mapping[str, object] | None]
"""Returns a JSON object; None while there is none, which answers 404."""

_PROBE_ENDS_WITHIN_S = 1.0


class HealthServer:
    """Answers `GET /health` (200 if the loop runs and `alive()` is true) and `GET /ready` (200 or 503, by `status`).

    Both answer with JSON: `{"status": "ok"}` or `stuck`, and `{"ready": true}` with the details of `status`. It answers
    `GET /<name>` for each of `documents`, too.
    Use as an async context manager. `port` 0 picks a free one; the attribute `port` then holds it.

    Raises:
        mqtt_trace.ConfigurationError: On entering, when `HEALTH_HOST` or `HEALTH_PORT` cannot be listened on.
    """

    def __init__(
        self,
        host: str,
        port: int,
        status: Status,
        alive: Alive = lambda: True,
        documents: Mapping[str, Document] | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self._status = status
        self._alive = alive
        app = web.Application()
        app.add_routes([web.get("/health", self._health), web.get("/ready", self._ready)])
        app.add_routes([web.get(f"/{name}", _answer(document)) for name, document in (documents or {}).items()])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_PROBE_ENDS_WITHIN_S)

    async def __aenter__(self) -> Self:
        listening = listen(self.host, self.port, prefix="HEALTH")
        self.port = listening.getsockname()[1]
        await self._runner.setup()
        await web.SockSite(self._runner, listening).start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._runner.cleanup()

    async def _health(self, _request: web.Request) -> web.Response:
        if self._alive():
            return web.json_response({"status": "ok"})
        return web.json_response({"status": "stuck"}, status=HTTPStatus.SERVICE_UNAVAILABLE)

    async def _ready(self, _request: web.Request) -> web.Response:
        ready, details = self._status()
        status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
        return web.json_response({"ready": ready, **details}, status=status)


def _answer(document: Document) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_request: web.Request) -> web.Response:
        content = document()
        return web.json_response(content or {}, status=HTTPStatus.NOT_FOUND if content is None else HTTPStatus.OK)

    return answer
