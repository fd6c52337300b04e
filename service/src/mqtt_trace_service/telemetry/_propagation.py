"""Makes `OTEL_PROPAGATORS=none` safe."""

from typing import cast

from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import CarrierT, Getter, default_getter

from mqtt_trace._propagation import propagator


def install_propagator() -> None:
    """Make sure that the propagator extracts a context, even with `OTEL_PROPAGATORS=none`.

    A composite without propagators returns None (API 1.45). Server instrumentations make that the current context, and
    every access to the current span then raises.
    """
    if cast("Context | None", propagator().extract({})) is None:
        # `propagator` documents why this import is not at the top.
        from opentelemetry.propagate import set_global_textmap  # noqa: PLC0415 - as said above

        set_global_textmap(_Composite([]))


class _Composite(CompositePropagator):
    """Starts with an empty context by default."""

    def extract(
        self, carrier: CarrierT, context: Context | None = None, getter: Getter[CarrierT] = default_getter
    ) -> Context:
        return super().extract(carrier, Context() if context is None else context, getter)
