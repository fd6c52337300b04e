"""The README's program works as printed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from local.mosquitto import Mosquitto
from local.waiting import until

README = Path(__file__).parents[1] / "README.md"


def test_the_program_makes_one_trace(
    broker: Mosquitto, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run as printed, but for the broker's address and the blocking loop, it publishes and processes in one trace."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    (source,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(  # noqa: S102 - the README's own code
        source.replace('"localhost"', f'"{broker.host}", {broker.port}').replace("loop_forever", "loop_start"), names
    )
    try:
        until(lambda: len(exporter.get_finished_spans()) == 2, "both spans ended")
    finally:
        names["client"].disconnect()
        names["client"].loop_stop()
    publish, process = sorted(exporter.get_finished_spans(), key=lambda span: span.start_time or 0)
    assert publish.name == "publish sensors/s1/reading"
    assert process.parent is not None
    assert process.parent.span_id == publish.context.span_id
    assert capsys.readouterr().out == "sensors/s1/reading b'{\"reading\": 21.5}'\n"
