"""`POST /echo` and `GET /health`, with one SERVER span per echo."""

import logging

from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.trace import Span
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from mqtt_trace_echo.body import Refused, echoed, read

_MAPPED = "::ffff:"
"""Prefix of an IPv4 address on a dual-stack socket (RFC 4291, section 2.5.5.2)."""

_logger = logging.getLogger(__name__)


def create_app(max_body_bytes: int) -> FastAPI:
    """Create the application, after `mqtt_trace_service.telemetry.setup`, whose providers it uses.

    Args:
        max_body_bytes: A longer body gets the status 413.
    """

    async def echo(request: Request) -> Response:
        try:
            body = await read(request, max_body_bytes)
            answer = echoed(body)
        except Refused as refused:
            _logger.warning("refused a body: %s", refused.reason, extra={"status": refused.status})
            return JSONResponse({"detail": refused.reason}, refused.status)
        _logger.info("echoed %d bytes", len(body))
        return Response(answer, media_type="application/json")

    async def health(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    app = FastAPI(
        title="mqtt-trace-echo",
        # Plain routes: the body is read as bytes, so FastAPI's parameters would only cost time.
        routes=[Route("/echo", echo, methods=["POST"]), Route("/health", health)],
        openapi_url=None,
    )
    FastAPIInstrumentor.instrument_app(
        app, server_request_hook=_set_server_address, excluded_urls="/health$", exclude_spans=["send", "receive"]
    )
    return app


def _set_server_address(span: Span, scope: Scope) -> None:
    """Replace the instrumentation's value, which has the port as well: `fd00::7:8000` would be another address."""
    if scope.get("server"):
        span.set_attribute("server.address", scope["server"][0])


def with_plain_addresses(app: ASGIApp) -> ASGIApp:
    """Wrap an application so that spans have plain IPv4 addresses as `client.address` and `server.address`."""

    async def plain(scope: Scope, receive: Receive, send: Send) -> None:
        for end in ("client", "server"):
            if scope.get(end):
                host, port = scope[end]
                scope[end] = (host.removeprefix(_MAPPED), port)
        await app(scope, receive, send)

    return plain
