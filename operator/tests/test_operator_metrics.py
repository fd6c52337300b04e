"""The metrics of fleets."""

from __future__ import annotations

import pytest
from mqtt_trace_operator.metrics import FleetMetrics
from mqtt_trace_operator.reconcile import Outcome, Result
from mqtt_trace_operator.workers import Key
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint

DEMO = Key("iot", "demo")


@pytest.fixture
def reader() -> InMemoryMetricReader:
    """A reader of the metrics."""
    return InMemoryMetricReader()


@pytest.fixture
def metrics(reader: InMemoryMetricReader) -> FleetMetrics:
    """The metrics, which the reader reads."""
    return FleetMetrics(MeterProvider([reader], shutdown_on_exit=False))


def read(reader: InMemoryMetricReader) -> dict[str, dict[str, float]]:
    """Values by metric, and by namespace and name of the fleet."""
    values: dict[str, dict[str, float]] = {}
    data = reader.get_metrics_data()
    for resource in data.resource_metrics if data else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    assert isinstance(point, NumberDataPoint)
                    fleet = point.attributes or {}
                    name = "/".join(map(str, (fleet["fleet.namespace"], fleet["fleet.id"])))
                    values.setdefault(metric.name, {})[name] = point.value
    return values


def result(wanted: int, *, paused: bool = False, **status: int) -> Result:
    """The result of a reconcile."""
    return Result(fleet={"spec": {"replicas": wanted, "paused": paused}}, status=status, outcome=Outcome.DONE)


def test_each_fleet_has_desired_and_connected_sensors(metrics: FleetMetrics, reader: InMemoryMetricReader) -> None:
    """The last reconcile of each fleet counts."""
    metrics.reconciled(DEMO, result(10, replicas=10, readyReplicas=0))
    metrics.reconciled(DEMO, result(10, replicas=10, readyReplicas=7))
    metrics.reconciled(Key("iot", "other"), result(3))
    assert read(reader) == {
        "iot.fleet.sensors.desired": {"iot/demo": 10, "iot/other": 3},
        "iot.fleet.sensors.connected": {"iot/demo": 7, "iot/other": 0},
    }


def test_a_paused_fleet_should_have_the_sensors_that_it_had(
    metrics: FleetMetrics, reader: InMemoryMetricReader
) -> None:
    """A spec that is not applied on purpose is no failure."""
    metrics.reconciled(DEMO, result(50, paused=True, replicas=10, readyReplicas=10))
    assert read(reader)["iot.fleet.sensors.desired"] == {"iot/demo": 10}


def test_a_scenario_decides_how_many_sensors_a_fleet_should_have(
    metrics: FleetMetrics, reader: InMemoryMetricReader
) -> None:
    """The desired number is that of the phase, not that of the spec."""
    spec = {"replicas": 5, "scenario": {"phases": []}}
    metrics.reconciled(DEMO, Result(fleet={"spec": spec}, status={"replicas": 80}, outcome=Outcome.DONE))
    assert read(reader)["iot.fleet.sensors.desired"] == {"iot/demo": 80}


def test_a_deleted_fleet_is_no_longer_reported(metrics: FleetMetrics, reader: InMemoryMetricReader) -> None:
    """Otherwise its sensors would seem to be missing."""
    metrics.reconciled(DEMO, result(10, replicas=10, readyReplicas=7))
    metrics.reconciled(DEMO, Result())
    assert read(reader) == {}
