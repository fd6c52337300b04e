"""Fixtures: a backend, and Telemetry that is not that of the process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from mqtt_trace_service._otel_environment import plan
from mqtt_trace_service.telemetry._resource import process_resource
from mqtt_trace_service.telemetry._setup import Telemetry

from service.tests.telemetry.otlp_backend import OtlpBackend

MakeTelemetry = Callable[..., Telemetry]


@pytest.fixture
def backend() -> Iterator[OtlpBackend]:
    """A backend that accepts everything."""
    with OtlpBackend() as backend:
        yield backend


@pytest.fixture(autouse=True)
def _no_otel_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(variable)
    # Shorter than the first pause of the SDK's own retries, so that ours are what is tested.
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.5")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    monkeypatch.setenv("OTEL_BLRP_SCHEDULE_DELAY", "50")


@pytest.fixture
def make_telemetry(monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeTelemetry]:
    """Make Telemetry for a backend's address with further `OTEL_*` variables; it is shut down at the end."""
    with ExitStack() as running:

        def make(endpoint: str, **variables: str) -> Telemetry:
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
            for name, value in variables.items():
                monkeypatch.setenv(name, value)
            telemetry = Telemetry(process_resource("tested", {"process.attribute": 1}), plan(os.environ))
            running.callback(telemetry.shutdown, 0.2)
            return telemetry

        yield make
