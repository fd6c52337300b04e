"""The routes for telemetry: the token endpoint and OTLP/HTTP."""

import sqlite3
from enum import StrEnum
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response
from google.protobuf.message import Message
from google.rpc.code_pb2 import Code  # type: ignore[import-untyped]  # the package has no py.typed marker
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from scout_sim import otlp
from scout_sim.dependencies import Dependencies, Injected, read_body
from scout_sim.otlp import Encoding, OtlpError
from scout_sim.points import decode_points
from scout_sim.records import decode_logs, decode_spans
from scout_sim.store import Store
from scout_sim.tokens import TokenRefusedError

router = APIRouter()

_NOT_STORED = {"Cache-Control": "no-store", "Pragma": "no-cache"}  # RFC 6749, sections 5.1 and 5.2
_MAX_FORM_FIELDS = 32


class Signal(StrEnum):
    """The signals of OpenTelemetry, as in the paths of OTLP/HTTP."""

    TRACES = "traces"
    METRICS = "metrics"
    LOGS = "logs"


@router.post("/realms/{tenant}/protocol/openid-connect/token")
async def token(tenant: str, request: Request, dependencies: Injected) -> JSONResponse:
    """Issue a token for client credentials, which are form fields or HTTP Basic (RFC 6749, section 4.4)."""
    if tenant != dependencies.settings.tenant:
        return JSONResponse({"error": "Realm does not exist"}, status_code=404)
    try:
        form = await _form(request)
        access_token = dependencies.tokens.issue(form, request.headers.get("authorization"))
    except TokenRefusedError as refusal:
        problem = {"error": refusal.error, "error_description": refusal.description}
        challenge = {"WWW-Authenticate": f'Basic realm="{tenant}"'} if refusal.status == 401 else {}  # noqa: PLR2004 - Unauthorized
        return JSONResponse(problem, status_code=refusal.status, headers=_NOT_STORED | challenge)
    answer = {
        "access_token": access_token,
        "token_type": "Bearer",
        "expires_in": dependencies.settings.token_lifetime_s,
    }
    return JSONResponse(answer, headers=_NOT_STORED)


@router.post("/{tenant}/otlp/v1/{signal}")
async def ingest(tenant: str, signal: Signal, request: Request, dependencies: Injected) -> Response:
    """Accept OTLP/HTTP for a tenant."""
    body = await read_body(request)
    if tenant != dependencies.settings.tenant:
        raise OtlpError(404, Code.NOT_FOUND, f"the tenant is {dependencies.settings.tenant}")
    if dependencies.settings.require_token:
        try:
            dependencies.tokens.verify(request.headers.get("authorization"))
        except TokenRefusedError as refusal:
            challenge = {"WWW-Authenticate": f'Bearer error="{refusal.error}"' if refusal.error else "Bearer"}
            raise OtlpError(refusal.status, Code.UNAUTHENTICATED, refusal.description, challenge) from None
    return await _ingest(signal, request, body, dependencies)


@router.post("/v1/{signal}")
async def ingest_without_tenant(signal: Signal, request: Request, dependencies: Injected) -> Response:
    """Accept OTLP/HTTP from services without a Collector, which would add tenant and token."""
    body = await read_body(request)
    if dependencies.settings.require_token:
        message = f"a token is required: send to /{dependencies.settings.tenant}/otlp/v1/{signal}"
        raise OtlpError(404, Code.NOT_FOUND, message)
    return await _ingest(signal, request, body, dependencies)


async def refuse(request: Request, error: Exception) -> Response:
    """Answer an `OtlpError` with its `google.rpc.Status`, in the encoding of the request."""
    if not isinstance(error, OtlpError):
        raise error
    try:
        encoding = otlp.parse_content_type(request.headers.get("content-type"))
    except OtlpError:
        encoding = Encoding.JSON
    return Response(error.body(encoding), status_code=error.status, media_type=encoding, headers=error.headers)


async def _ingest(signal: Signal, request: Request, body: bytes, dependencies: Dependencies) -> Response:
    encoding = otlp.parse_content_type(request.headers.get("content-type"))
    content_encoding = request.headers.get("content-encoding")
    answer = await run_in_threadpool(_store, signal, body, content_encoding, encoding, dependencies.store)
    return Response(otlp.write(answer, encoding), media_type=encoding)


def _store(signal: Signal, body: bytes, content_encoding: str | None, encoding: Encoding, store: Store) -> Message:
    body = otlp.decompress(body, content_encoding)
    try:
        match signal:
            case Signal.TRACES:
                spans = decode_spans(otlp.read(ExportTraceServiceRequest, body, encoding))
                store.add_spans(spans.rows)
                return otlp.traces_response(spans.rejected, spans.explanation())
            case Signal.METRICS:
                points = decode_points(otlp.read(ExportMetricsServiceRequest, body, encoding))
                store.add_points(points.rows)
                return otlp.metrics_response(points.rejected, points.explanation())
            case Signal.LOGS:
                records = decode_logs(otlp.read(ExportLogsServiceRequest, body, encoding))
                store.add_logs(records.rows)
                return otlp.logs_response(records.rejected, records.explanation())
    except sqlite3.Error as error:
        problem = f"the database cannot be written: {error}"
        raise OtlpError(503, Code.UNAVAILABLE, problem, {"Retry-After": "1"}) from error


async def _form(request: Request) -> dict[str, str]:
    try:
        body = await read_body(request)
    except OtlpError as error:
        raise TokenRefusedError(error.status, "invalid_request", error.message) from None
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/x-www-form-urlencoded":
        raise TokenRefusedError(400, "invalid_request", "Content-Type must be application/x-www-form-urlencoded")
    try:
        fields = parse_qsl(body.decode(), max_num_fields=_MAX_FORM_FIELDS)
    except ValueError:
        raise TokenRefusedError(400, "invalid_request", "the body is not a form") from None
    form = dict(fields)
    if len(form) < len(fields):
        raise TokenRefusedError(400, "invalid_request", "a field is given more than once")
    return form
