"""A version of the OpenTelemetry SDK without one of the private names that we use."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import chain

import pytest
from mqtt_trace_service.telemetry import _sdk_compat

from service.tests.telemetry.otlp_backend import OtlpBackend

PROGRAM = """
import importlib.machinery, logging, re, sys
from pathlib import Path

name = sys.argv[1]
loader = importlib.machinery.SourceFileLoader
get_code = loader.get_code

def get_renamed_code(self, module):
    if not module.startswith(("opentelemetry.sdk.", "opentelemetry.exporter.")):
        return get_code(self, module)
    path = self.get_filename(module)
    return compile(re.sub(rf"\\b{name}\\b", f"{name}_renamed", Path(path).read_text()), path, "exec")

loader.get_code = get_renamed_code

from mqtt_trace_service.telemetry import setup

telemetry = setup("acme-app")
telemetry.meter_provider.get_meter("test").create_counter("readings").add(2)
telemetry.tracer_provider.get_tracer("test").start_span("survived").end()
logging.getLogger("test").warning("survived too")
telemetry.shutdown()
"""

_NAMES = chain(
    (name.partition(":")[2] for name in _sdk_compat.ENCODER),
    *(
        path.split(".")
        for names in (
            _sdk_compat.HTTP_SPAN_EXPORTER,
            _sdk_compat.EXPORTER,
            _sdk_compat.METRIC_EXPORTER,
            _sdk_compat.PROCESSOR,
        )
        for path in names
    ),
)
GUARDED = sorted({*_NAMES} - {"export", "shutdown"})  # those are public elsewhere in the SDK


def _run(renamed: str, backend: OtlpBackend) -> str:
    """What a program logs that exports a span, a log record and a metric without this name."""
    environ = {
        **os.environ,
        "OTEL_EXPORTER_OTLP_ENDPOINT": backend.url,
        "OTEL_EXPORTER_OTLP_TIMEOUT": "10",
    }
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, renamed], env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr
    assert not run.stderr
    return run.stdout


@pytest.mark.parametrize("name", GUARDED)
def test_all_signals_are_exported_without_a_private_name(name: str, backend: OtlpBackend) -> None:
    """Without any one of the SDK's private names, all signals still arrive, and the log says which name is missing."""
    log = _run(name, backend)
    assert backend.received.span_names() == ["survived"]
    assert "survived too" in backend.received.log_bodies()
    assert "readings" in backend.received.metrics
    assert "the installed OpenTelemetry SDK has no" in log
    assert name in log


@pytest.mark.parametrize("name", ["_name", "_status", "_events", "nothing_has_this_name"])
def test_names_that_only_sanitizing_sets_are_not_missed(name: str, backend: OtlpBackend) -> None:
    """Without a name that only the sanitizing of invalid text sets, valid spans arrive, and nothing is logged."""
    assert "has no" not in _run(name, backend)
    assert backend.received.span_names() == ["survived"]
