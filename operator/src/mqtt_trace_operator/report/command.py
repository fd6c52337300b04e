"""The work of the command `mqtt-trace-fleet`."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx2
from lightkube import ApiError, Client
from lightkube.core.exceptions import ConfigError
from lightkube.resources.core_v1 import ConfigMap

from mqtt_trace import MqttTraceError
from mqtt_trace_operator.cluster import SensorFleet
from mqtt_trace_operator.fleet import Object
from mqtt_trace_operator.report.record import Record
from mqtt_trace_operator.report.table import format_table

PROGRAM = "mqtt-trace-fleet"

_NOT_FOUND = 404


class _RequestError(MqttTraceError):
    """The API server has no such fleet, or cannot be asked; the message says so in one line."""


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code, 2 for an error that it prints in one line."""
    given = _parser().parse_args(arguments)
    try:
        record = _read(given.name, given.namespace)
        if given.html != "-":
            sys.stdout.write(format_table(record))
        if given.html is not None:
            _write_page(record, given.html)
    except (MqttTraceError, OSError) as error:
        sys.stderr.write(f"{PROGRAM}: {error}\n")
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=PROGRAM, description="Report on a SensorFleet.")
    commands = parser.add_subparsers(required=True, metavar="command")
    report = commands.add_parser("report", help="print the results of a fleet's scenario, also as an HTML page")
    report.add_argument("name", help="name of the fleet")
    report.add_argument("--namespace", "-n", help="its namespace; that of KUBECONFIG, or of this pod, if not given")
    report.add_argument("--html", metavar="FILE", help="write a page with plots; - writes it instead of the table")
    return parser


def _read(name: str, namespace: str | None) -> Record:
    try:
        client = Client(namespace=namespace)
        fleet = _unless_missing(lambda: dict(client.get(SensorFleet, name)))
        if fleet is None:
            raise _RequestError(f"namespace {client.namespace} has no fleet {name}")
        return Record.read(fleet, _unless_missing(lambda: client.get(ConfigMap, f"{name}-results").to_dict()))
    except ConfigError as error:
        raise _RequestError(f"KUBECONFIG gives access to no cluster: {error}") from error
    except ApiError as error:
        raise _RequestError(f"the API server refused: {error.status.message}") from error
    except httpx2.HTTPError as error:
        raise _RequestError(f"the API server cannot be reached: {error}") from error


def _unless_missing(get: Callable[[], Object]) -> Object | None:
    try:
        return get()
    except ApiError as error:
        if error.status.code == _NOT_FOUND:
            return None
        raise


def _write_page(record: Record, path: str) -> None:
    from mqtt_trace_operator.report.page import format_page  # noqa: PLC0415 - Plotly takes a second to import

    if path == "-":
        sys.stdout.write(format_page(record))
    else:
        Path(path).write_text(format_page(record), encoding="utf-8")
