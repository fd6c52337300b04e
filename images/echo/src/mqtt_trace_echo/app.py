"""`POST /echo` and `GET /health`, with one SERVER span per echo."""

import logging

from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from starlette.requests import Request
from starlette.routing import Route

from mqtt_trace_echo.body import Refused, echoed, read

_logger = logging.getLogger(__name__)


def create_app(max_body_bytes: int) -> FastAPI:
    """The application; call it after `mqtt_trace.telemetry.setup`, whose providers it uses.

    Args:
        max_body_bytes: Longer bodies are answered with 413.
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
        # Plain routes: the body is read as bytes, so FastAPI's parameters would cost time for nothing.
        routes=[Route("/echo", echo, methods=["POST"]), Route("/health", health)],
        openapi_url=None,
    )
    FastAPIInstrumentor.instrument_app(app, excluded_urls="/health$", exclude_spans=["send", "receive"])
    return app
