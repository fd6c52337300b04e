"""The report as text for a terminal."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mqtt_trace_operator.report.record import Record

COLUMNS = {
    "published": "published",
    "processed": "processed",
    "waiting": "waiting",
    "lost": "lost",
    "duplicates": "duplicates",
    "deadLettered": "dead-lettered",
    "ageP50": "age p50",
    "ageP95": "age p95",
    "ageP99": "age p99",
    "publishP99": "publish p99",
}
"""Figures of every phase, and how they are called."""


def rows(record: Record) -> Iterator[tuple[str, ...]]:
    """The table of figures: its head, a row for each phase, and one for all."""
    yield ("phase", *COLUMNS.values())
    for figures in record.results["phases"]:
        yield (figures["name"], *_cells(figures))
    yield ("all", *_cells(record.results["total"]))


def remarks(record: Record) -> Iterator[tuple[str, str]]:
    """What the table has no column for: a name and its value, without what is none."""
    results, total = record.results, record.results["total"]
    for name, key in (("refused", "refused"), ("missing contexts", "missingContext")):
        counts = total.get(key) or {}
        yield name, ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))
    yield "not numbered (MQTT 3.1.1)", _number(total["unnumbered"])
    yield "dropped by sensors", _number(total["dropped"])
    yield "unknown", _number(total["unknown"])
    yield "pods without a last report", ", ".join(results.get("unreported") or [])
    yield "all connected within", results.get("connectedWithin", "")
    yield "clocks ahead of the sensors'", ", ".join(f"{name} {skew}" for name, skew in results["clockSkew"].items())
    yield "slowest traces", " ".join(results["slowest"])
    yield "lost traces" if results["final"] else "waiting traces", " ".join(results["lostTraces"])


def format_table(record: Record) -> str:
    """Format the report."""
    lines = [f"{record.verdict}: {record.sentence}", f"fleet {record.namespace}/{record.name}, {_period(record)}", ""]
    table = list(rows(record))
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines += [_align(row, widths) for row in table]
    found = [(name, value) for name, value in remarks(record) if value]
    if found:
        width = max(len(name) for name, _ in found)
        lines += ["", *(f"{name:<{width}}  {value}" for name, value in found)]
    return "\n".join(lines) + "\n"


def _period(record: Record) -> str:
    until = "results of" if record.results["final"] else "so far, at"
    return f"started {record.results['startedAt']}, {until} {record.results['observedAt']}"


def _cells(figures: Mapping[str, Any]) -> list[str]:
    return [str(figures.get(key, "-")) for key in COLUMNS]


def _align(row: Sequence[str], widths: Sequence[int]) -> str:
    name, *numbers = (f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True))
    return f"{row[0]:<{len(name)}}  {'  '.join(numbers)}".rstrip()


def _number(count: int) -> str:
    return str(count) if count else ""
