"""Metric data points as rows."""

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    DataPointFlags,
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    SummaryDataPoint,
)

from scout_sim.any_value import JsonValue, decode_attributes, json_number, to_json
from scout_sim.records import MAX_NS, Decoded, decode_resource

DataPoint = NumberDataPoint | HistogramDataPoint | ExponentialHistogramDataPoint | SummaryDataPoint


class PointRow(NamedTuple):
    """A data point in the order of the columns of `metrics`.

    `series` identifies the resource, scope, metric and attributes that it belongs to; `value` is JSON: the number of a
    gauge or sum, null for a histogram or summary.
    """

    series: str
    name: str
    service: str
    unit: str
    attributes: str
    resource: str
    time_ns: int
    value: str


def decode_points(request: ExportMetricsServiceRequest) -> Decoded[PointRow]:
    """Decode the data points of a request; reject those of a metric without name, or with a time out of range."""
    decoded: Decoded[PointRow] = Decoded()
    for resource_metrics in request.resource_metrics:
        service, resource = decode_resource(resource_metrics.resource)
        for scope_metrics in resource_metrics.scope_metrics:
            for metric in scope_metrics.metrics:
                for point in _data_points(metric):
                    if problem := _find_problem(metric, point):
                        decoded.reject(f"metric {metric.name[:80]!r}: {problem}")
                    else:
                        decoded.rows.append(_build_row(metric, point, service, resource, scope_metrics.scope.name))
    return decoded


def _data_points(metric: Metric) -> Iterable[DataPoint]:
    kind = metric.WhichOneof("data")
    return getattr(metric, kind).data_points if kind else ()


def _find_problem(metric: Metric, point: DataPoint) -> str | None:
    if not metric.name:
        return "the name is empty"
    if point.time_unix_nano > MAX_NS:
        return "a time is out of range"
    return None


def _build_row(metric: Metric, point: DataPoint, service: str, resource: str, scope: str) -> PointRow:
    attributes = to_json(decode_attributes(point.attributes))
    identity = to_json([resource, scope, metric.name, metric.WhichOneof("data"), metric.unit, attributes])
    return PointRow(
        series=hashlib.blake2b(identity.encode(), digest_size=16).hexdigest(),
        name=metric.name,
        service=service,
        unit=metric.unit,
        attributes=attributes,
        resource=resource,
        time_ns=point.time_unix_nano,
        value=to_json(_decode_number(point)),
    )


def _decode_number(point: DataPoint) -> JsonValue:
    if not isinstance(point, NumberDataPoint) or point.flags & DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK:
        return None
    return point.as_int if point.WhichOneof("value") == "as_int" else json_number(point.as_double)
