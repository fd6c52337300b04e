"""An OTLP/HTTP receiver that takes everything and keeps the count of spans: a backend that costs next to nothing.

Usage: python -m bench.sink PORT; then `GET /spans` answers with the number of spans since the last time.
"""

import gzip
import sys

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

BODIES: web.AppKey[list[bytes]] = web.AppKey("bodies", list)


async def take(request: web.Request) -> web.Response:
    """Accept any signal; only traces are kept, and decoded no sooner than somebody asks."""
    body = await request.read()
    if request.path.endswith("/traces"):
        request.app[BODIES].append(body)
    return web.Response(content_type="application/x-protobuf")


async def spans(request: web.Request) -> web.Response:
    """Count the spans taken since the last time."""
    bodies = request.app[BODIES]
    count = sum(_spans_in(body) for body in bodies)
    bodies.clear()
    return web.json_response(count)


def _spans_in(body: bytes) -> int:
    raw = gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body
    export = ExportTraceServiceRequest.FromString(raw)
    return sum(len(scope.spans) for resource in export.resource_spans for scope in resource.scope_spans)


def main(port: int) -> None:
    """Serve until SIGTERM."""
    app = web.Application(client_max_size=256 * 2**20)
    app[BODIES] = []
    app.add_routes([web.post("/v1/{signal}", take), web.get("/spans", spans)])
    web.run_app(app, host="127.0.0.1", port=port, print=lambda _: None, access_log=None)


if __name__ == "__main__":
    main(int(sys.argv[1]))
