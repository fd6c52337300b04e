"""Kubernetes' own objects as closed JSON schemas, so that the chart refuses a misspelled field, which Helm would drop.

The fields come from the models of Kubernetes' Python client, which are generated from the OpenAPI document of the API
server.
"""

from typing import Any

from kubernetes.client import models

Schema = dict[str, Any]

_LEFT_OUT = ("title", "description", "default")

# YAML has no character for these, and Helm would drop or alter them.
_CONTROL = "\\x7f-\\x9f\ufffe\uffff"
_LINE = {"pattern": f"^[^\\x00-\\x1f{_CONTROL}]*$"}
_TEXT = {"pattern": f"^[^\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f{_CONTROL}]*$"}
_WITH_LINE_BREAKS = ("args", "command", "value")
# Of a map, such as labels. Of other keys, Helm would give a wrong place if these were `propertyNames`.
_KEYS = "^([a-z0-9][-a-z0-9.]*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
# The models have strings only; the API server reads numbers as well.
_QUANTITY = {
    "type": ["string", "number"],
    "pattern": "^[0-9]+(\\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi|E|Ei)?$",
    "exclusiveMinimum": 0,
}


def definitions(kinds: set[str]) -> dict[str, Schema]:
    """The schemas of kinds such as `Affinity`, and of all that they consist of, by name.

    Raises:
        AttributeError: Kubernetes has no such kind.
    """
    found: dict[str, Schema] = {}
    for kind in sorted(kinds):
        schema = getattr(models, f"V1{kind}").model_json_schema(by_alias=True)
        for name, part in {**schema.pop("$defs", {}), f"V1{kind}": schema}.items():
            found[definition_name(name.removeprefix("V1"))] = _plain(part)
    return dict(sorted(found.items()))


def definition_name(kind: str) -> str:
    """The name of a kind's definition, such as `k8s.Affinity`."""
    return f"k8s.{kind}"


def _plain(part: Any, name: str = "") -> Any:
    """The schema of a property without prose, and without null for what may be absent: Helm reads null as absent."""
    if isinstance(part, list):
        return [_plain(item, name) for item in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        return {"$ref": f"#/definitions/{definition_name(part['$ref'].rpartition('/')[2].removeprefix('V1'))}"}
    kept = {key: _plain(value, name) for key, value in part.items() if key not in (*_LEFT_OUT, "properties")}
    if properties := part.get("properties"):
        kept["properties"] = {key: _plain(value, key) for key, value in properties.items()}
    match kept.pop("anyOf", []):
        case [only, {"type": "null"}]:
            kept |= only
        case several if several:
            kept["anyOf"] = [option for option in several if option != {"type": "null"}]
    return kept | _bounds(kept, name)


def _bounds(part: Schema, name: str) -> Schema:
    """What the models leave out: characters of strings, keys of maps, and the range of integers."""
    match part:
        case {"type": "string"}:
            return _TEXT if name in _WITH_LINE_BREAKS else _LINE
        case {"type": "integer"}:
            return {"minimum": -(2**31), "maximum": 2**31 - 1}
        case {"additionalProperties": {"type": "string"}}:
            value = _QUANTITY if name in ("limits", "requests") else {"type": "string", **_TEXT}
            return {"additionalProperties": False, "patternProperties": {_KEYS: value}}
    return {}
