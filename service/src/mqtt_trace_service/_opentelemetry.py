"""Checks the `OTEL_*` variables before OpenTelemetry reads them."""

import os

from mqtt_trace._errors import ConfigurationError
from mqtt_trace_service._load import exit_with
from mqtt_trace_service._otel_environment import normalize, plan


def check_opentelemetry(program: str) -> None:
    """Find an invalid variable. Call it before any import of the SDK, which reads some of them on import.

    Raises:
        SystemExit: 2 after one line on stderr.
    """
    normalize(os.environ)
    try:
        plan(os.environ)
    except ConfigurationError as error:
        exit_with(program, error)
