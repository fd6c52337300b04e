"""Telemetry of a whole process: global providers, stdout, and exports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from service.tests.telemetry.otlp_backend import OtlpBackend

_PROGRAM = """
import logging, os
from opentelemetry import metrics, trace
from mqtt_trace_service.telemetry import setup

telemetry = setup("acme-app", attributes={"device.kind": "gateway"}, log_level="DEBUG")
tracer = trace.get_tracer("program")
with tracer.start_as_current_span("work"):
    logging.getLogger("acme_app.part").debug("ours")
metrics.get_meter("program").create_counter("worked").add(1)
logging.getLogger("mqtt_trace.anything").debug("the library's")
logging.getLogger("mqtt_trace_service.anything").debug("the services'")
logging.getLogger("somebody").info("too quiet")
logging.getLogger("somebody").warning("loud")
print(os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"])
"""


def run(program: str, endpoint: str, **variables: str) -> tuple[list[dict[str, Any]], list[str]]:
    """Run a program; returns its log lines and its other lines. Warnings are errors, and stderr must stay empty."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    environ |= {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_TIMEOUT": "0.5", **variables}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    return [json.loads(line) for line in lines if line[0] == "{"], [line for line in lines if line[0] != "{"]


def test_a_program_that_ends_has_sent_everything(backend: OtlpBackend) -> None:
    """All three signals are flushed at exit, even without a call to shutdown."""
    lines, others = run(_PROGRAM, backend.url, OTEL_SEMCONV_STABILITY_OPT_IN="messaging/dup")
    assert [(line["logger"], line["message"]) for line in lines] == [
        ("acme_app.part", "ours"),
        ("mqtt_trace.anything", "the library's"),
        ("mqtt_trace_service.anything", "the services'"),
        ("somebody", "loud"),
    ]
    assert others == ["messaging/dup,http"]
    received = backend.received
    assert received.span_names() == ["work"]
    assert received.spans[0][1]["service.name"] == "acme-app"
    assert received.spans[0][1]["device.kind"] == "gateway"
    assert "worked" in received.metrics
    assert received.log_bodies() == ["ours", "the library's", "the services'", "loud"]
    assert received.logs[0][0].trace_id.hex() == lines[0]["trace_id"]
    assert received.logs[0][0].span_id.hex() == lines[0]["span_id"]


def test_a_disabled_sdk_leaves_the_log_lines(backend: OtlpBackend) -> None:
    """OTEL_SDK_DISABLED stops exports, but not the lines on stdout."""
    lines, _ = run(_PROGRAM, backend.url, OTEL_SDK_DISABLED="true")
    assert [line["message"] for line in lines] == ["ours", "the library's", "the services'", "loud"]
    assert backend.received.requests == []


_CARRIED = """
from mqtt_trace_service.telemetry import setup
setup("acme-app")
from opentelemetry import context, propagate, trace
context.attach(context.set_value("own", "value"))
own = context.get_current()
read = propagate.extract({"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
with trace.get_tracer("program").start_as_current_span("work"):
    written = {}
    propagate.inject(written)
print(len(read), propagate.extract({}, own) == own, len(written))
"""


@pytest.mark.parametrize(
    ("propagators", "printed"),
    [
        ("none", "0 True 0"),
        ("tracecontext,none,baggage", "0 True 0"),
        ("tracecontext", "1 True 1"),
        ("", "1 True 1"),
    ],
)
def test_a_carrier_always_becomes_a_context(backend: OtlpBackend, propagators: str, printed: str) -> None:
    """A carrier becomes a context with `OTEL_PROPAGATORS=none` too, where OpenTelemetry would return None."""
    _, others = run(_CARRIED, backend.url, OTEL_PROPAGATORS=propagators)
    assert others == [printed]


def test_a_backend_that_is_away_is_logged_once_per_signal_and_not_over_otlp() -> None:
    """Log lines about exports are not exported, because each would fail and cause another one."""
    program = """
import logging, time
from mqtt_trace_service.telemetry import setup
from mqtt_trace_service.telemetry._export_status import LOGGER_NAME

telemetry = setup("acme-app")
said = []

class Count(logging.Handler):
    def emit(self, record):
        said.append(record)

logging.getLogger(LOGGER_NAME).addHandler(Count())
logging.getLogger("acme_app").info("the only record")
deadline = time.monotonic() + 20
while not said and time.monotonic() < deadline:
    time.sleep(0.01)
telemetry.shutdown(1)
print(telemetry.dropped()["logs"])
"""
    lines, others = run(
        program,
        "http://127.0.0.1:9",
        OTEL_BLRP_SCHEDULE_DELAY="20",
        OTEL_TRACES_EXPORTER="none",
        OTEL_METRICS_EXPORTER="none",
    )
    assert others == ["1"]
    assert [line["message"].partition(" http://")[0] for line in lines] == [
        "the only record",
        "cannot export logs to",
        "giving up logs for",
        "logs for",
    ]
