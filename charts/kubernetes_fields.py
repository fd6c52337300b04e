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
_LABEL = {"maxLength": 63, "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"}
_OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IP = {"pattern": f"^{_OCTET}(\\.{_OCTET}){{3}}$|^[0-9A-Fa-f.]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*$"}
_NAMED = {"required": ["name"]}
# What the API server checks, and the models do not say.
_RULES: dict[str, Schema] = {
    "Container": {"required": ["name", "image"], "properties": {"name": _LABEL}},
    "Volume": {"maxProperties": 2, "properties": {"name": _LABEL}},
    "SecretVolumeSource": {"required": ["secretName"]},
    "ConfigMapVolumeSource": _NAMED,
    "SecretProjection": _NAMED,
    "ConfigMapProjection": _NAMED,
    "EnvFromSource": {"if": {"not": {"required": ["configMapRef"]}}, "then": {"required": ["secretRef"]}},
    "SecretEnvSource": _NAMED,
    "ConfigMapEnvSource": _NAMED,
    "SecretKeySelector": {"required": ["name", "key"]},
    "ConfigMapKeySelector": {"required": ["name", "key"]},
    "HostAlias": {"properties": {"ip": _IP}},
    "PodDNSConfig": {"properties": {"nameservers": {"maxItems": 3, "items": _IP}}},
    "TopologySpreadConstraint": {"properties": {"maxSkew": {"minimum": 1}, "minDomains": {"minimum": 1}}},
    "Toleration": {
        "if": {"properties": {"operator": {"const": "Exists"}}, "required": ["operator"]},
        "then": {"properties": {"value": {"maxLength": 0}}},
        "dependencies": {
            "tolerationSeconds": {"required": ["effect"], "properties": {"effect": {"const": "NoExecute"}}}
        },
    },
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
            plain = name.removeprefix("V1")
            found[definition_name(plain)] = _with(_plain(part), _RULES.get(plain, {}))
    return dict(sorted(found.items()))


def _with(part: Schema, rules: Schema) -> Schema:
    """The schema with rules over it, at any depth."""
    below = {key: _with(part[key], rule) for key, rule in rules.items() if key in part and isinstance(rule, dict)}
    return {**part, **rules, **below}


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
