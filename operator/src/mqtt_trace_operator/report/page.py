"""The report as one HTML page that needs nothing else: the plots' script is in it.

Plotly is the smaller of the libraries that draw from Python and carry their script: 40 MB installed, where vl-convert
for Vega-Lite takes 88 MB. The page has 4.8 MB, nearly all of it the script.
"""

import html
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise

import plotly.graph_objects as plots  # type: ignore[import-untyped]  # Plotly has no types
from plotly.subplots import make_subplots  # type: ignore[import-untyped]  # as above

from mqtt_trace_operator.report.record import Record
from mqtt_trace_operator.report.table import remarks, rows
from mqtt_trace_operator.results.history import Point

_SHADES = ("rgba(0, 121, 107, 0.08)", "rgba(0, 121, 107, 0.16)")

_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
"""The browser loads nothing from elsewhere."""

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #212121; }
h1 { font-size: 1.4rem; margin-bottom: 0; }
.verdict { border-left: 0.5rem solid #757575; padding: 0.5rem 1rem; background: #f5f5f5; }
.Passed { border-color: #2e7d32; } .Failed { border-color: #c62828; }
table { border-collapse: collapse; margin: 1rem 0; }
td, th { padding: 0.2rem 0.8rem; text-align: right; border-bottom: 1px solid #e0e0e0; }
td:first-child, th:first-child { text-align: left; }
tr:last-child td { font-weight: 600; }
dt { color: #616161; } dd { margin: 0 0 0.5rem; overflow-wrap: anywhere; }
"""


def format_page(record: Record) -> str:
    """Format the report."""
    title = html.escape(f"{record.namespace}/{record.name}: {record.verdict}")
    listed = "".join(
        f"<dt>{html.escape(name)}</dt><dd>{html.escape(', '.join(values))}</dd>\n" for name, values in remarks(record)
    )
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>{_STYLE}</style>
<h1>Fleet {html.escape(record.namespace)}/{html.escape(record.name)}</h1>
<p>Started {record.results["startedAt"]}, observed {record.results["observedAt"]}.</p>
<p class="verdict {record.verdict}"><strong>{record.verdict}</strong>: {html.escape(record.sentence)}</p>
{_format_table(record)}
<dl>
{listed}</dl>
{_format_plots(record)}
</html>
"""


def _format_table(record: Record) -> str:
    head, *body = rows(record)
    lines = ["<tr>" + "".join(f"<th>{html.escape(cell)}</th>" for cell in head) + "</tr>"]
    lines += ["<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in body]
    return "<table>\n" + "\n".join(lines) + "\n</table>"


def _format_plots(record: Record) -> str:
    if not record.points:
        return "<p>The fleet has no history to plot.</p>"
    figure = make_subplots(
        rows=4,
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.07,
        subplot_titles=(
            "Connected sensors",
            "Readings per second",
            "Readings waiting",
            "Age of readings, p95, in seconds",
        ),
    )
    figure.update_annotations(yshift=14)  # room for the names of the phases
    points = record.points
    times = [_time(point.at) for point in points]
    _draw(figure, 1, times, {"connected": [point.connected for point in points]})
    _draw(figure, 2, times[1:], {"published": _rates(points, _published), "processed": _rates(points, _processed)})
    _draw(figure, 3, times, {"waiting": [point.waiting for point in points]})
    _draw(figure, 4, times, {"age p95": [point.age_p95 for point in points]})
    _shade_phases(figure, record)
    figure.update_layout(height=900, template="plotly_white", hovermode="x unified", margin={"t": 70})
    script: str = figure.to_html(full_html=False, include_plotlyjs=True, config={"displaylogo": False})
    return script


def _draw(figure: plots.Figure, row: int, times: list[datetime], lines: dict[str, list[float | None]]) -> None:
    for (name, values), dash in zip(lines.items(), ("solid", "dot"), strict=False):
        figure.add_trace(plots.Scatter(x=times, y=values, name=name, mode="lines", line={"dash": dash}), row=row, col=1)
    figure.update_yaxes(rangemode="tozero", row=row, col=1)


def _shade_phases(figure: plots.Figure, record: Record) -> None:
    """Shade the phases one after the other, with their names above the first plot."""
    starts = sorted(record.phase_starts.items(), key=lambda item: item[1])
    for (index, start), (_, end) in pairwise([*starts, (-1, record.points[-1].at)]):
        span = {"x0": _time(start), "x1": _time(end), "fillcolor": _SHADES[index % 2], "line_width": 0}
        figure.add_vrect(**span, row="all", col=1)
        figure.add_annotation(
            x=_time(start),
            y=1,
            yref="y domain",
            xanchor="left",
            yanchor="bottom",
            showarrow=False,
            text=html.escape(record.phases[index]),
        )


def _rates(points: list[Point], count: Callable[[Point], int]) -> list[float | None]:
    return [
        (count(later) - count(former)) / (later.at - former.at) if later.at > former.at else None
        for former, later in pairwise(points)
    ]


def _published(point: Point) -> int:
    return point.published


def _processed(point: Point) -> int:
    return point.processed


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
