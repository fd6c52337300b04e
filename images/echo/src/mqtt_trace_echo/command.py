"""The command `mqtt-trace-echo`."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from mqtt_trace_service import host_and_port, listen, load, run, telemetry

from mqtt_trace_echo.app import create_app, with_plain_addresses
from mqtt_trace_echo.settings import EchoSettings

PROGRAM = "mqtt-trace-echo"

# Including the flush of telemetry, less than the 30 s that Kubernetes waits before SIGKILL.
_FINISH_REQUESTS_WITHIN_S = 15

_logger = logging.getLogger(__name__)


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    settings = load(EchoSettings, PROGRAM)
    run(lambda stop: serve(settings, stop), PROGRAM)


async def serve(settings: EchoSettings, stop: asyncio.Event) -> None:
    """Answer requests until `stop`, finish the running ones, and flush telemetry."""
    listening = listen(settings.echo_host, settings.echo_port, prefix="ECHO")
    signals = telemetry.setup(PROGRAM, log_level=settings.log_level)
    logging.getLogger("uvicorn.error").addFilter(_is_not_of_a_cancelled_request)
    try:
        server = _Server(
            uvicorn.Config(
                with_plain_addresses(create_app(settings.echo_max_body_bytes)),
                log_config=None,
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=_FINISH_REQUESTS_WITHIN_S,
            )
        )
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        _logger.info("listening on %s", host_and_port(*listening.getsockname()[:2]))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        server.should_exit = True
        await serving
    finally:
        signals.shutdown()


def _is_not_of_a_cancelled_request(record: logging.LogRecord) -> bool:
    # uvicorn logs that it cancels requests, and then reports each one as an error of the application.
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to `mqtt_trace_service.run`."""
        yield
