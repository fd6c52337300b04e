"""The routes for programs: health and the query API."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from scout_sim import queries
from scout_sim.dependencies import Injected
from scout_sim.filters import LogFilter, MetricFilter, TraceFilter, describe_error

router = APIRouter()


@router.get("/health")
async def health() -> dict[str, str]:
    """Always ready: the server starts only once the database is open."""
    return {"status": "ready"}


@router.get("/api/traces")
def traces(query: Annotated[TraceFilter, Query()], dependencies: Injected) -> JSONResponse:
    """Summaries of the newest traces that match a filter."""
    return JSONResponse({"traces": queries.traces(dependencies.store, query)})


@router.get("/api/traces/{trace_id}")
def trace(trace_id: str, dependencies: Injected) -> JSONResponse:
    """Every span of a trace."""
    spans = queries.spans(dependencies.store, trace_id)
    if not spans:
        return JSONResponse({"error": f"there is no trace with the id {trace_id}"}, status_code=404)
    return JSONResponse({"trace_id": trace_id.lower(), "spans": spans})


@router.get("/api/metrics")
def metrics(query: Annotated[MetricFilter, Query()], dependencies: Injected) -> JSONResponse:
    """The latest point of each metric series."""
    return JSONResponse({"metrics": queries.metrics(dependencies.store, query)})


@router.get("/api/logs")
def logs(query: Annotated[LogFilter, Query()], dependencies: Injected) -> JSONResponse:
    """The newest log records that match a filter."""
    return JSONResponse({"logs": queries.logs(dependencies.store, query)})


async def refuse(_: Request, error: Exception) -> JSONResponse:
    """Answer a wrong parameter with one line that names it: 422, or 404 for a part of the path."""
    if not isinstance(error, RequestValidationError):
        raise error
    problem = error.errors()[0]
    return JSONResponse({"error": describe_error(problem)}, status_code=404 if problem["loc"][0] == "path" else 422)
