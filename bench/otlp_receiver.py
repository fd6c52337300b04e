"""An OTLP/HTTP receiver that accepts every request and only counts spans, at next to no cost.

Usage: python -m bench.otlp_receiver PORT
`GET /spans` answers with the number of spans since the last such request, by service.
"""

import gzip
import sys
from collections import Counter

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

BODIES: web.AppKey[list[bytes]] = web.AppKey("bodies", list)


async def accept(request: web.Request) -> web.Response:
    """Accept any signal. Keep traces, which `GET /spans` decodes later."""
    body = await request.read()
    if request.path.endswith("/traces"):
        request.app[BODIES].append(body)
    return web.Response(content_type="application/x-protobuf")


async def spans(request: web.Request) -> web.Response:
    """Count the spans that arrived since the last request."""
    bodies = request.app[BODIES]
    counts: Counter[str] = Counter()
    for body in bodies:
        counts.update(_spans_in(body))
    bodies.clear()
    return web.json_response(counts)


def _spans_in(body: bytes) -> Counter[str]:
    raw = gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body
    counts: Counter[str] = Counter()
    for one in ExportTraceServiceRequest.FromString(raw).resource_spans:
        service = next(a.value.string_value for a in one.resource.attributes if a.key == "service.name")
        counts[service] += sum(len(scope.spans) for scope in one.scope_spans)
    return counts


def main(port: int) -> None:
    """Serve until SIGTERM."""
    app = web.Application(client_max_size=256 * 2**20)
    app[BODIES] = []
    app.add_routes([web.post("/v1/{signal}", accept), web.get("/spans", spans)])
    web.run_app(app, host="127.0.0.1", port=port, print=lambda _: None, access_log=None)


if __name__ == "__main__":
    main(int(sys.argv[1]))
