"""Metrics of fleets: how many sensors each should have, and how many are connected."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation, get_meter

from mqtt_trace_operator.reconcile import Outcome, Result
from mqtt_trace_operator.workers import Key


@dataclass(frozen=True, slots=True)
class _Sensors:
    desired: int
    connected: int


class FleetMetrics:
    """The sensors of each fleet, as its last reconcile saw them."""

    def __init__(self, meter_provider: MeterProvider | None = None) -> None:
        self._fleets: dict[Key, _Sensors] = {}
        meter = get_meter("mqtt_trace_operator", version("mqtt-trace-operator"), meter_provider)
        meter.create_observable_up_down_counter(
            "iot.fleet.sensors.desired",
            [self._observer(lambda sensors: sensors.desired)],
            "{sensor}",
            "Sensors that a fleet should have.",
        )
        meter.create_observable_up_down_counter(
            "iot.fleet.sensors.connected",
            [self._observer(lambda sensors: sensors.connected)],
            "{sensor}",
            "Sensors of a fleet that are connected to the broker.",
        )

    def reconciled(self, key: Key, result: Result) -> None:
        """Take the result of a reconcile; a fleet that does not exist any more is no longer reported."""
        if result.outcome is Outcome.GONE:
            self._fleets.pop(key, None)
        elif result.fleet is not None and result.status is not None:
            spec, status = result.fleet["spec"], result.status
            # A paused fleet keeps the sensors that it had, and a scenario decides itself, whatever the spec says.
            decided = spec.get("paused") or spec.get("scenario")
            desired = status.get("replicas", 0) if decided else spec["replicas"]
            self._fleets[key] = _Sensors(desired, status.get("readyReplicas", 0))

    def _observer(self, read: Callable[[_Sensors], int]) -> Callable[[CallbackOptions], Iterator[Observation]]:
        def observe(_options: CallbackOptions) -> Iterator[Observation]:
            # A copy, because this runs in the exporter's thread.
            for key, sensors in dict(self._fleets).items():
                yield Observation(read(sensors), {"fleet.id": key.name, "fleet.namespace": key.namespace})

        return observe
