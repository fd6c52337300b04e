"""The chart's `values.schema.json`, made of `values.schema.yaml` and Kubernetes' own objects.

What is required and has a default is no part of it: only `--reuse-values` or null can remove a default, and a template
refuses that with better advice than Helm's, from `files/required-values`.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from charts.kubernetes_fields import Schema, definition_name, definitions

SOURCE = Path(__file__).with_name("values.schema.yaml")
VALUES = Path(__file__).with_name("mqtt-trace") / "values.yaml"

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
    for _, part in _with_defaults(schema, schema["definitions"], yaml.safe_load(VALUES.read_text())):
        part.pop("required", None)
    for abstract in ("podSettings", "componentSettings"):
        del schema["definitions"][abstract]
    kinds: set[str] = set()
    schema = _closed(schema, kinds)
    schema["definitions"] |= definitions(kinds)
    for kind in _MERGED:
        fields = schema["definitions"][definition_name(kind)]["properties"]
        fields |= {name: _nullable(field) for name, field in fields.items()}
    return json.dumps(schema, indent=1) + "\n"


def required_values() -> str:
    """The paths of values that are required and have a default, one on each line."""
    schema = source()
    found = _with_defaults(schema, schema["definitions"], yaml.safe_load(VALUES.read_text()))
    return "".join(f"{path}{name}\n" for path, part in found for name in part.get("required", ()))


def _with_defaults(part: Schema, parts: Schema, default: Any, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Each object of the schema that has a default, with the path before its properties."""
    part = parts[part["$ref"].rpartition("/")[2]] if part.get("$ref", "").startswith("#") else part
    if isinstance(default, dict) and "properties" in part:
        yield path, part
        for name in sorted(default.keys() & part["properties"].keys()):
            yield from _with_defaults(part["properties"][name], parts, default[name], f"{path}{name}.")


def _expanded(part: Any, parts: Schema) -> Any:
    if isinstance(part, list):
        return [_expanded(item, parts) for item in part]
    if not isinstance(part, dict):
        return part
    if part.get("nullableValues"):
        values = parts[part["$ref"].rpartition("/")[2]]
        patterns = {key: {**value, "nullable": True} for key, value in values["patternProperties"].items()}
        kept = {name: value for name, value in part.items() if name not in ("nullableValues", "$ref")}
        return {**values, **kept, "patternProperties": patterns}
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
