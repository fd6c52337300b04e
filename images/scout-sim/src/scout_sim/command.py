"""What the command `mqtt-trace-scout-sim` does."""

import argparse
import asyncio
import logging
import signal
import sqlite3
import sys
from types import FrameType
from typing import NoReturn

import uvicorn
from pydantic import ValidationError

from scout_sim.app import create_app
from scout_sim.listening import AddressError, host_and_port, listen
from scout_sim.settings import Settings, describe_errors, variables
from scout_sim.store import Retention, Store

_KEEP_ALIVE_S = 120  # longer than exporters keep idle connections: closing one while they send looks like data loss
_SHUTDOWN_S = 3  # for requests in progress; idle connections are closed at once


def main() -> None:
    """Serve until SIGTERM or SIGINT, then exit 0; exit 2 for a wrong setting."""
    _parser().parse_args()
    try:
        settings = Settings()
    except ValidationError as error:
        _refuse(*describe_errors(error))
    try:
        listening = listen(settings.host, settings.port)
    except AddressError as error:
        _refuse(str(error))
    retention = Retention(spans=settings.max_spans, metric_points=settings.max_metric_points, logs=settings.max_logs)
    try:
        store = Store.open(settings.database, retention)
    except sqlite3.Error as error:
        _refuse(f"SCOUT_SIM_DATABASE: {settings.database}: {error}")
    config = uvicorn.Config(
        create_app(settings, store),
        log_level="warning",
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_SHUTDOWN_S,
        forwarded_allow_ips="*",  # an ingress controller has any address, and only shown addresses depend on it
    )
    logging.getLogger("uvicorn.error").addFilter(_is_no_cancelled_request)
    address = host_and_port(*listening.getsockname()[:2])
    print(f"scout-sim: serving tenant {settings.tenant} on {address}", flush=True)  # noqa: T201 - the line that a user at a terminal looks for
    signal.signal(signal.SIGTERM, _exit)
    signal.signal(signal.SIGINT, _exit)
    uvicorn.Server(config).run(sockets=[listening])


def _parser() -> argparse.ArgumentParser:
    described = "\n".join(f"  {name}={default}\n      {meaning}" for name, default, meaning in variables())
    return argparse.ArgumentParser(
        prog="mqtt-trace-scout-sim",
        description="A stand-in for Scout: OAuth2 tokens, OTLP ingest, queries and trace pages.",
        epilog=f"environment variables and their defaults:\n{described}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _is_no_cancelled_request(record: logging.LogRecord) -> bool:
    # uvicorn logs that it cancels requests, and then each of them again as an error of the application.
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


def _exit(_signal: int, _frame: FrameType | None) -> None:
    """Exit with 0: uvicorn stops first, then raises the signal again."""
    sys.exit(0)


def _refuse(*problems: str) -> NoReturn:
    for problem in problems:
        print(f"scout-sim: {problem}", file=sys.stderr)  # noqa: T201 - a command reports wrong settings on stderr
    sys.exit(2)
