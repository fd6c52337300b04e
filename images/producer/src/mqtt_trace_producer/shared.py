"""What the devices of a fleet share."""

from concurrent.futures import Executor
from dataclasses import dataclass

from mqtt_trace_producer.connectivity import Connectivity
from mqtt_trace_producer.metrics import Metrics
from mqtt_trace_producer.results.recorder import Results
from mqtt_trace_producer.round_robin import RoundRobin


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """Settings and objects that all devices of a fleet share.

    Attributes:
        buffer_readings: Capacity of a device's buffer, in readings.
        retry_s: Seconds for which a reading without subscribers is published again; 0 for never.
        metrics: Counts readings.
        results: Numbers readings and records what becomes of each, while the fleet has a scenario.
        connectivity: Tracks connections.
        round_robin: Lets devices publish in turn.
        executor: Runs the blocking part of connecting.
    """

    buffer_readings: int
    retry_s: float
    metrics: Metrics
    results: Results
    connectivity: Connectivity
    round_robin: RoundRobin
    executor: Executor
