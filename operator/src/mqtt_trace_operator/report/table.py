"""The report as text for a terminal."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
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


def remarks(record: Record) -> Iterator[tuple[str, Sequence[str]]]:
    """Facts without a column in the table: a name and its values. Names without a value are left out."""
    results, total = record.results, record.results["total"]
    skews = results["clockSkew"]
    found = {
        "refused": _list_counts(total["refused"]),
        "missing contexts": _list_counts(total["missingContext"]),
        "not numbered (MQTT 3.1.1)": _list_number(total["unnumbered"]),
        "dropped by sensors": _list_number(total["dropped"]),
        "unknown": _list_number(total["unknown"]),
        "pods without a last report": results["unreported"],
        "all connected within": [results["connectedWithin"]] if "connectedWithin" in results else [],
        "clocks ahead of the sensors'": [f"{name} {skew}" for name, skew in skews.items()],
        "slowest traces": results["slowest"],
        "lost traces" if results["final"] else "waiting traces": results["lostTraces"],
    }
    return ((name, values) for name, values in found.items() if values)


def format_table(record: Record) -> str:
    """Format the report."""
    lines = [f"{record.verdict}: {record.sentence}", f"fleet {record.namespace}/{record.name}, {_period(record)}", ""]
    table = list(rows(record))
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines += [_align(row, widths) for row in table]
    found = list(remarks(record))
    width = max((len(name) for name, _ in found), default=0)
    lines += [""] if found else []
    for name, values in found:
        lines += [f"{label:<{width}}  {value}" for label, value in zip_longest([name], values, fillvalue="")]
    return "\n".join(lines) + "\n"


def _period(record: Record) -> str:
    until = "results of" if record.results["final"] else "so far, at"
    return f"started {record.results['startedAt']}, {until} {record.results['observedAt']}"


def _cells(figures: Mapping[str, Any]) -> list[str]:
    return [str(figures.get(key, "-")) for key in COLUMNS]


def _align(row: Sequence[str], widths: Sequence[int]) -> str:
    name, *numbers = (f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True))
    return f"{row[0]:<{len(name)}}  {'  '.join(numbers)}".rstrip()


def _list_counts(counts: Mapping[str, int]) -> list[str]:
    return [f"{count} {reason}" for reason, count in sorted(counts.items())]


def _list_number(count: int) -> list[str]:
    return [str(count)] if count else []
