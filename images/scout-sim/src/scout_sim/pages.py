"""The pages: the newest traces, and the waterfall of a trace. They work without scripts, and their links are relative.

So they also work behind a proxy that serves them below a path of its own.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from scout_sim import queries
from scout_sim.any_value import as_text
from scout_sim.dependencies import Injected
from scout_sim.filters import LogFilter, TraceFilter
from scout_sim.notices import find_notices
from scout_sim.queries import Log, Span
from scout_sim.store import Store
from scout_sim.tokens import AUDIENCE
from scout_sim.waterfall import assign_colours, duration, lay_out

router = APIRouter(default_response_class=HTMLResponse)

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_LOGS_OF_A_SPAN = 200


@router.get("/")
def recent(request: Request, dependencies: Injected) -> HTMLResponse:
    """The newest traces."""
    found = queries.traces(dependencies.store, TraceFilter())
    return _page(
        "traces.html",
        root="./",
        traces=found,
        longest_ms=max((trace["duration_ms"] for trace in found), default=0),
        colours=assign_colours(queries.services(dependencies.store)),
        settings=dependencies.settings,
        audience=AUDIENCE,
        address=_address(request),
    )


@router.get("/traces/{trace_id}")
def waterfall(trace_id: str, dependencies: Injected, span: str = "") -> HTMLResponse:
    """The waterfall of a trace, and the details of the span with the id `span`, by default the topmost."""
    spans = queries.spans(dependencies.store, trace_id)
    if not spans:
        return _page("unknown.html", status=404, root="../", trace_id=trace_id)
    colours = assign_colours(queries.services(dependencies.store))
    laid_out = lay_out(spans, colours)
    selected = _find_span(spans, span) if span else laid_out.rows[0].span
    return _page(
        "trace.html",
        root="../",
        trace_id=spans[0]["trace_id"],
        waterfall=laid_out,
        colours=colours,
        asked=span,
        selected=selected,
        logs=_find_logs(selected, dependencies.store) if selected else [],
        notices=find_notices(spans),
        error=any(span["status"]["code"] == "ERROR" for span in spans),
        start_ns=min(span["start_ns"] for span in spans),
    )


def _address(request: Request) -> str:
    """Where clients reach scout-sim: uvicorn has applied X-Forwarded-Proto, and proxies keep the host."""
    below = request.headers.get("X-Forwarded-Prefix", "").strip("/")
    return f"{request.base_url}{below}".rstrip("/")


def _find_span(spans: Sequence[Span], span_id: str) -> Span | None:
    return next((span for span in spans if span["span_id"] == span_id.lower()), None)


def _find_logs(span: Span, store: Store) -> list[Log]:
    query = LogFilter(trace_id=span["trace_id"], span_id=span["span_id"], limit=_LOGS_OF_A_SPAN)
    return queries.logs(store, query)[::-1]


def _page(template: str, *, status: int = 200, **values: object) -> HTMLResponse:
    return HTMLResponse(_templates.get_template(template).render(values), status_code=status, headers=_HEADERS)


def _utc(time_ns: int) -> str:
    """A time to the millisecond."""
    moment = datetime.fromtimestamp(time_ns // 1_000_000 / 1000, tz=UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{time_ns // 1_000_000 % 1000:03d}"


def _environment(filters: Mapping[str, object]) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters)
    return environment


_templates = _environment({"duration": duration, "utc": _utc, "shown": as_text})
