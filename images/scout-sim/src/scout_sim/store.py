"""A bounded number of spans, metric points and log records in SQLite."""

import sqlite3
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from scout_sim.any_value import has_attribute
from scout_sim.points import PointRow
from scout_sim.records import LogRow, SpanRow

SCHEMA_VERSION = 1

_BUSY_S = 1  # only another program can lock the file: all requests wait for this connection, and senders retry

_SCHEMA = """
CREATE TABLE spans (
    trace_id TEXT NOT NULL, span_id TEXT NOT NULL, parent_span_id TEXT, name TEXT NOT NULL, kind TEXT NOT NULL,
    service TEXT NOT NULL, start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL, status_code TEXT NOT NULL,
    status_message TEXT NOT NULL, missing_context INTEGER NOT NULL, attributes TEXT NOT NULL, resource TEXT NOT NULL,
    links TEXT NOT NULL, events TEXT NOT NULL, scope TEXT NOT NULL,
    UNIQUE (trace_id, span_id)
);
CREATE INDEX spans_by_service ON spans (service, trace_id);
CREATE TABLE traces (
    trace_id TEXT PRIMARY KEY, start_ns INTEGER NOT NULL, span_count INTEGER NOT NULL, updated_ns INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX traces_by_start ON traces (start_ns);
CREATE INDEX traces_by_update ON traces (updated_ns);
CREATE TABLE logs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, time_ns INTEGER NOT NULL, severity TEXT NOT NULL, body TEXT NOT NULL,
    service TEXT NOT NULL, trace_id TEXT, span_id TEXT, attributes TEXT NOT NULL, resource TEXT NOT NULL
);
CREATE INDEX logs_by_trace ON logs (trace_id, span_id);
CREATE INDEX logs_by_time ON logs (time_ns);
"""
_METRICS_SCHEMA = """
CREATE TABLE IF NOT EXISTS metrics (
    series TEXT PRIMARY KEY, name TEXT NOT NULL, service TEXT NOT NULL, unit TEXT NOT NULL, attributes TEXT NOT NULL,
    resource TEXT NOT NULL, time_ns INTEGER NOT NULL, value TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS metrics_by_time ON metrics (time_ns);
"""

_INSERT_SPAN = "INSERT OR IGNORE INTO spans VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
_UPDATE_TRACE = """
INSERT OR REPLACE INTO traces
SELECT trace_id, min(start_ns), count(*), ? FROM spans WHERE trace_id = ? GROUP BY trace_id
"""
_UPSERT_POINT = """
INSERT INTO metrics VALUES (?,?,?,?,?,?,?,?)
ON CONFLICT (series) DO UPDATE SET time_ns = excluded.time_ns, value = excluded.value
WHERE excluded.time_ns >= time_ns
"""
_EVICT_POINTS = """
DELETE FROM metrics WHERE series IN (
    SELECT series FROM metrics ORDER BY time_ns LIMIT max(0, (SELECT count(*) FROM metrics) - ?)
)
"""
_INSERT_LOG = """
INSERT INTO logs (time_ns, severity, body, service, trace_id, span_id, attributes, resource) VALUES (?,?,?,?,?,?,?,?)
"""
_EVICT_LOGS = "DELETE FROM logs WHERE number <= (SELECT max(number) FROM logs) - ?"


@dataclass(frozen=True)
class Retention:
    """The most rows of each signal; the oldest are dropped first."""

    spans: int
    metric_points: int
    logs: int


class Store:
    """The received telemetry, within its retention. Its methods are thread-safe."""

    def __init__(self, connection: sqlite3.Connection, retention: Retention) -> None:
        self._connection = connection
        self._retention = retention
        self._lock = threading.Lock()
        self._span_count: int = connection.execute("SELECT count(*) FROM spans").fetchone()[0]

    @classmethod
    def open(cls, database: str, retention: Retention) -> Self:
        """Open a database file, created if it does not exist, or a database in memory for `:memory:`.

        Raises:
            sqlite3.Error: The file cannot be opened, is not a database, or has another version of the schema.
        """
        connection = sqlite3.connect(database, timeout=_BUSY_S, check_same_thread=False)
        try:
            _prepare(connection)
            return cls(connection, retention)
        except sqlite3.Error:
            connection.close()
            raise

    def add_spans(self, spans: Sequence[SpanRow]) -> None:
        """Store spans. A span that is already stored is ignored: at-least-once export may deliver it twice."""
        updated_ns = time.time_ns()
        updates = [(updated_ns, trace_id) for trace_id in {span.trace_id for span in spans}]
        with self._lock:
            with self._connection as connection:
                added = max(0, connection.executemany(_INSERT_SPAN, spans).rowcount)  # -1 without spans
                connection.executemany(_UPDATE_TRACE, updates)
                evicted = _evict_traces(connection, self._span_count + added - self._retention.spans)
            self._span_count += added - evicted

    def add_points(self, points: Iterable[PointRow]) -> None:
        """Store the latest point of each series."""
        with self._lock, self._connection as connection:
            connection.executemany(_UPSERT_POINT, points)
            connection.execute(_EVICT_POINTS, [self._retention.metric_points])

    def add_logs(self, records: Iterable[LogRow]) -> None:
        """Store log records."""
        with self._lock, self._connection as connection:
            connection.executemany(_INSERT_LOG, records)
            connection.execute(_EVICT_LOGS, [self._retention.logs])

    def select(self, query: str, parameters: Mapping[str, int | float | str | None]) -> list[sqlite3.Row]:
        """Run a SELECT with named parameters; its function `has_attribute` is `any_value.has_attribute`."""
        with self._lock:
            return self._connection.execute(query, parameters).fetchall()

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._connection.close()


def _prepare(connection: sqlite3.Connection) -> None:
    connection.row_factory = sqlite3.Row
    connection.create_function("has_attribute", 3, has_attribute, deterministic=True)
    # In a container the root is read-only: a large sort through a file in /tmp would fail.
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
    elif version != SCHEMA_VERSION:
        raise sqlite3.DatabaseError(f"its schema has version {version}, expected {SCHEMA_VERSION}")
    connection.executescript(_METRICS_SCHEMA)  # also into a file of release 0.2.0, which kept metrics in another table


def _evict_traces(connection: sqlite3.Connection, excess: int) -> int:
    """Delete whole traces, the least recently updated first, until `excess` spans are deleted.

    A partial trace would look like one that is not connected.
    """
    evicted = 0
    if excess <= 0:
        return evicted
    evicted_ids: list[tuple[str]] = []
    for trace_id, span_count in connection.execute("SELECT trace_id, span_count FROM traces ORDER BY updated_ns"):
        if evicted >= excess:
            break
        evicted_ids.append((trace_id,))
        evicted += span_count
    connection.executemany("DELETE FROM spans WHERE trace_id = ?", evicted_ids)
    connection.executemany("DELETE FROM traces WHERE trace_id = ?", evicted_ids)
    return evicted
