"""Traces paho-mqtt programs without changes to their code.

Run them under OpenTelemetry's own command, `opentelemetry-instrument python program.py`, or call
`PahoMqttInstrumentor().instrument()` before they publish. Install the extra `mqtt-trace[instrumentation]`.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]  # untyped
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider

from mqtt_trace._errors import ConfigurationError
from mqtt_trace._options import Options
from mqtt_trace.instrumentation._patches import Patches
from mqtt_trace.instrumentation._settings import excluded_topics
from mqtt_trace.instrumentation._tracing import ProcessHook, PublishHook, Tracing

__all__ = ["PahoMqttInstrumentor", "ProcessHook", "PublishHook"]

_log = logging.getLogger(__name__)


class PahoMqttInstrumentor(BaseInstrumentor):  # type: ignore[misc]  # untyped
    """Instruments every paho client of the process, including existing ones.

    A publish span lasts until the acknowledgement, a process span as long as the callbacks of a message, and a will has
    a create span at each connect. The program's behaviour does not change. Messages that a program traces itself, with
    `TracedPublisher`, `inject` or a `TracedConsumer` of the client, are not instrumented.

    `instrument` takes these keyword arguments:

    - `tracer_provider`, `meter_provider`: The global ones by default.
    - `publish_hook`: Called with span, client, topic and payload before a message is sent.
    - `process_hook`: Called with span, client and message before the callbacks of a message.

    Hooks are called only for recorded spans; their exceptions are logged. `OTEL_PYTHON_PAHO_MQTT_EXCLUDED_TOPICS` lists
    topic filters, separated by commas, whose messages are not traced. An invalid variable is logged, and nothing is
    traced: a telemetry setting must not stop a program.
    """

    _patches: Patches | None = None

    def instrumentation_dependencies(self) -> Collection[str]:
        """The supported versions of paho."""
        return ("paho-mqtt >= 2.1, < 3",)

    @property
    def is_instrumented_by_opentelemetry(self) -> bool:
        """Whether paho is traced: false if a variable is invalid or a release of paho lacks a needed name."""
        return self._patches is not None

    def instrument(self, **kwargs: Any) -> None:
        """Instrument; a further call without options changes nothing.

        `opentelemetry-instrument` makes one call for each entry point, and two distributions may have one.
        """
        if (
            kwargs.keys() - {"skip_dep_check", "raise_exception_on_conflict"}
            or not self.is_instrumented_by_opentelemetry
        ):
            super().instrument(**kwargs)

    def _instrument(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        publish_hook: PublishHook | None = None,
        process_hook: ProcessHook | None = None,
    ) -> None:
        try:
            options, excluded = Options.from_env(), excluded_topics()
        except ConfigurationError as error:
            _log.error("paho-mqtt is not traced: %s", error)
            return
        tracing = Tracing(
            tracer_provider=tracer_provider,
            meter_provider=meter_provider,
            options=options,
            excluded=excluded,
            publish_hook=publish_hook,
            process_hook=process_hook,
        )
        patches = Patches(tracing)
        if patches.install():
            self._patches = patches

    def _uninstrument(self) -> None:
        if self._patches is not None:
            self._patches.remove()
            self._patches = None
