"""OTLP's attribute values as JSON."""

import base64
import json
import math
from collections.abc import Iterable, Mapping, Sequence

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

JsonValue = None | bool | int | float | str | Sequence["JsonValue"] | Mapping[str, "JsonValue"]
Attributes = dict[str, JsonValue]


def attributes_of(pairs: Iterable[KeyValue]) -> Attributes:
    """Attributes by key; of a key that is given twice the last value counts."""
    return {pair.key: value_of(pair.value) for pair in pairs}


def value_of(value: AnyValue) -> JsonValue:
    """An attribute's value; bytes become base64, a value of no known kind None."""
    match value.WhichOneof("value"):
        case "string_value" | "int_value" | "bool_value" as scalar:
            plain: JsonValue = getattr(value, scalar)
            return plain
        case "double_value":
            return number(value.double_value)
        case "array_value":
            return [value_of(element) for element in value.array_value.values]
        case "kvlist_value":
            return attributes_of(value.kvlist_value.values)
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode()
        case _:
            return None


def number(value: float) -> JsonValue:
    """A double as JSON can hold it: protobuf's JSON mapping writes the others as text."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def to_json(value: object) -> str:
    """Compact JSON whose equality is the equality of what it holds."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
