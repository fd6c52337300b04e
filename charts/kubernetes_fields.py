"""Kubernetes' own objects as closed JSON schemas, so that the chart refuses a misspelled field, which Helm would drop.

The fields come from the models of Kubernetes' Python client, which are generated from the OpenAPI document of the API
server.
"""

from typing import Any

from kubernetes.client import models

Schema = dict[str, Any]

_LEFT_OUT = ("title", "description", "default")


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


def _plain(part: Any) -> Any:
    """The schema without prose, and without null for what may be absent: Helm reads null as absent."""
    if isinstance(part, list):
        return [_plain(item) for item in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        return {"$ref": f"#/definitions/{definition_name(part['$ref'].rpartition('/')[2].removeprefix('V1'))}"}
    kept = {name: _plain(value) for name, value in part.items() if name not in (*_LEFT_OUT, "properties")}
    if properties := part.get("properties"):
        kept["properties"] = {name: _plain(value) for name, value in properties.items()}
    match kept.pop("anyOf", []):
        case [only, {"type": "null"}]:
            return kept | only
        case several if several:
            kept["anyOf"] = [option for option in several if option != {"type": "null"}]
    return kept
