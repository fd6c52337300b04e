"""What `OTEL_PROPAGATORS=none` means."""

from typing import cast

from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import CarrierT, Getter, default_getter

from mqtt_trace._propagation import propagator


def install_propagator() -> None:
    """Make sure that a carrier becomes a context, whatever `OTEL_PROPAGATORS` says.

    A composite of no propagators answers None (API 1.45), which the instrumentations of servers make the current
    context: everything that asks for the current span then raises.
    """
    if cast("Context | None", propagator().extract({})) is None:
        # `propagator` says why not earlier.
        from opentelemetry.propagate import set_global_textmap  # noqa: PLC0415 - as said above

        set_global_textmap(_Composite([]))


class _Composite(CompositePropagator):
    """Begins with an empty context where it is given none."""

    def extract(
        self, carrier: CarrierT, context: Context | None = None, getter: Getter[CarrierT] = default_getter
    ) -> Context:
        return super().extract(carrier, Context() if context is None else context, getter)
