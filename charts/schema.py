"""The chart's `values.schema.json`, made of `values.schema.yaml` and Kubernetes' own objects."""

import json
from pathlib import Path
from typing import Any

import yaml

from charts.kubernetes_fields import Schema, definition_name, definitions

SOURCE = Path(__file__).with_name("values.schema.yaml")

_KUBERNETES = "k8s:"
_MERGED = ("PodSecurityContext", "SecurityContext", "Affinity", "PodDNSConfig")
"""Objects of all pods whose fields a component may remove with null."""


def source() -> Schema:
    """The source, with `extends` replaced by the properties that it stands for."""
    schema: Schema = yaml.safe_load(SOURCE.read_text())
    expanded: Schema = _expanded(schema, schema["definitions"])
    return expanded


def schema_json() -> str:
    """The schema as Helm reads it, with a line break at the end."""
    schema = source()
    for abstract in ("podSettings", "componentSettings"):
        del schema["definitions"][abstract]
    kinds: set[str] = set()
    schema = _closed(schema, kinds)
    schema["definitions"] |= definitions(kinds)
    for kind in _MERGED:
        fields = schema["definitions"][definition_name(kind)]["properties"]
        fields |= {name: _nullable(field) for name, field in fields.items()}
    return json.dumps(schema, indent=1) + "\n"


def _expanded(part: Any, parts: Schema) -> Any:
    if isinstance(part, list):
        return [_expanded(item, parts) for item in part]
    if not isinstance(part, dict):
        return part
    result = {name: _expanded(value, parts) for name, value in part.items() if name != "extends"}
    for name in part.get("extends", ()):
        result["properties"] = _expanded(parts[name], parts)["properties"] | result.get("properties", {})
    return result


def _closed(part: Any, kinds: set[str]) -> Any:
    """The schema with no further properties, and references that Helm resolves; adds to `kinds` what they name."""
    if isinstance(part, list):
        return [_closed(item, kinds) for item in part]
    if not isinstance(part, dict):
        return part
    if part.get("nullable") is True:
        return _nullable(_closed({name: value for name, value in part.items() if name != "nullable"}, kinds))
    if str(part.get("$ref", "")).startswith(_KUBERNETES):
        kind = part["$ref"].removeprefix(_KUBERNETES)
        kinds.add(kind)
        return {"$ref": f"#/definitions/{definition_name(kind)}"}
    result = {name: _closed(value, kinds) for name, value in part.items() if name != "description"}
    if "properties" in result and isinstance(result["properties"], dict):
        result.setdefault("additionalProperties", False)
    return result


def _nullable(schema: Schema) -> Schema:
    """Null or what the schema says; a refusal names only the latter."""
    return {"if": {"not": {"type": "null"}}, "then": schema}
