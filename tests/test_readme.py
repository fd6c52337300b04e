"""The README's programs work as printed."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from local.mosquitto import Mosquitto

README = Path(__file__).parents[1] / "README.md"


def test_the_two_programs_make_one_trace(
    broker: Mosquitto, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run as printed, but for the broker's port, publisher and consumer are one trace."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    publisher_source, consumer_source = (
        block.replace('"localhost", 1883', f'"{broker.host}", {broker.port}')
        for block in re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    )
    subscribed = threading.Event()
    consuming = run(
        consumer_source.replace("client.connect(", "client.on_subscribe = subscribed\nclient.connect("), subscribed
    )
    assert subscribed.wait(30)
    publishing = run(publisher_source)
    try:
        wait_until(lambda: len(exporter.get_finished_spans()) == 2)
    finally:
        for client in (consuming["client"], publishing["client"]):
            client.disconnect()
            client.loop_stop()
    publish, process = sorted(exporter.get_finished_spans(), key=lambda span: span.start_time or 0)
    assert publish.name == "publish sensors/thermometer/reading"
    assert process.parent is not None
    assert process.parent.span_id == publish.context.span_id
    assert capsys.readouterr().out == 'sensors/thermometer/reading {"reading": 21.5}\n'


def run(source: str, subscribed: threading.Event | None = None) -> dict[str, Any]:
    """Run a program and return its names."""
    names: dict[str, Any] = {"subscribed": lambda *_: subscribed.set() if subscribed else None}
    exec(source, names)  # noqa: S102 - the README's own code
    return names


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for a condition that other threads bring about."""
    pause = threading.Event()
    for _ in range(1_000):
        if condition():
            return
        pause.wait(0.01)
    pytest.fail("not within 10 s")
