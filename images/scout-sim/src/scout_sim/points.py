"""Metric data points as rows: the five kinds of point that OTLP knows."""

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    DataPointFlags,
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    SummaryDataPoint,
)

from scout_sim.any_value import Attributes, JsonValue, decode_attributes, json_number, to_json
from scout_sim.records import MAX_NS, Decoded, decode_resource

DataPoint = NumberDataPoint | HistogramDataPoint | ExponentialHistogramDataPoint | SummaryDataPoint

_TEMPORALITIES: dict[int | None, str] = {
    AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA: "DELTA",
    AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE: "CUMULATIVE",
}


class PointRow(NamedTuple):
    """A data point in the order of the columns of `metric_points`.

    `series` identifies the resource, scope, metric and attributes that it belongs to; `data` is JSON: what it measured.
    """

    series: str
    name: str
    service: str
    type: str
    unit: str
    attributes: str
    resource: str
    scope: str
    temporality: str | None
    start_ns: int
    time_ns: int
    data: str


def decode_points(request: ExportMetricsServiceRequest) -> Decoded[PointRow]:
    """The data points of a request; those of a metric without name, or with a time out of range, are rejected."""
    decoded: Decoded[PointRow] = Decoded()
    for resource_metrics in request.resource_metrics:
        service, resource = decode_resource(resource_metrics.resource)
        for scope_metrics in resource_metrics.scope_metrics:
            for metric in scope_metrics.metrics:
                for point in _data_points(metric):
                    if problem := _problem(metric, point):
                        decoded.reject(f"metric {metric.name[:80]!r}: {problem}")
                    else:
                        decoded.rows.append(_row(metric, point, service, resource, scope_metrics.scope.name))
    return decoded


def _data_points(metric: Metric) -> Iterable[DataPoint]:
    kind = metric.WhichOneof("data")
    return getattr(metric, kind).data_points if kind else ()


def _problem(metric: Metric, point: DataPoint) -> str | None:
    if not metric.name:
        return "the name is empty"
    if max(point.start_time_unix_nano, point.time_unix_nano) > MAX_NS:
        return "a time is out of range"
    return None


def _row(metric: Metric, point: DataPoint, service: str, resource: str, scope: str) -> PointRow:
    kind = metric.WhichOneof("data") or ""
    attributes = to_json(decode_attributes(point.attributes))
    identity = to_json([resource, scope, metric.name, kind, metric.unit, attributes])
    temporality = getattr(getattr(metric, kind), "aggregation_temporality", None)
    return PointRow(
        series=hashlib.blake2b(identity.encode(), digest_size=16).hexdigest(),
        name=metric.name,
        service=service,
        type=kind,
        unit=metric.unit,
        attributes=attributes,
        resource=resource,
        scope=scope,
        temporality=_TEMPORALITIES.get(temporality),
        start_ns=point.start_time_unix_nano,
        time_ns=point.time_unix_nano,
        data=to_json(_measured(metric, point)),
    )


def _measured(metric: Metric, point: DataPoint) -> Attributes:
    """What a point says: empty when it records that there is no value."""
    if point.flags & DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK:
        return {}
    match point:
        case NumberDataPoint():
            value = point.as_int if point.WhichOneof("value") == "as_int" else json_number(point.as_double)
            return {"value": value} | ({"monotonic": metric.sum.is_monotonic} if metric.HasField("sum") else {})
        case HistogramDataPoint():
            return {
                **_totals(point),
                "buckets": list(point.bucket_counts),
                "bounds": [json_number(bound) for bound in point.explicit_bounds],
            }
        case ExponentialHistogramDataPoint():
            return {
                **_totals(point),
                "scale": point.scale,
                "zero_count": point.zero_count,
                "positive": _buckets(point.positive),
                "negative": _buckets(point.negative),
            }
        case SummaryDataPoint():
            quantiles: JsonValue = [[json_number(at.quantile), json_number(at.value)] for at in point.quantile_values]
            return {"count": point.count, "sum": json_number(point.sum), "quantiles": quantiles}


def _totals(point: HistogramDataPoint | ExponentialHistogramDataPoint) -> Attributes:
    totals: Attributes = {"count": point.count}
    if point.HasField("sum"):
        totals["sum"] = json_number(point.sum)
    if point.HasField("min"):
        totals["min"] = json_number(point.min)
    if point.HasField("max"):
        totals["max"] = json_number(point.max)
    return totals


def _buckets(buckets: ExponentialHistogramDataPoint.Buckets) -> Attributes:
    return {"offset": buckets.offset, "counts": list(buckets.bucket_counts)}
