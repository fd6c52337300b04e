"""What an API server would refuse of a manifest: unknown fields, and malformed names and labels."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import yaml
from jsonschema import Draft7Validator

from charts.kubernetes_fields import definition_name, definitions

Manifest = dict[str, Any]

KINDS = {
    *("ConfigMap", "Deployment", "NetworkPolicy", "Pod", "PodDisruptionBudget", "Role", "RoleBinding", "Secret"),
    *("ClusterRole", "ClusterRoleBinding", "Service", "ServiceAccount", "StatefulSet"),
}
_DEFINITIONS = definitions(KINDS)

_PART = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
NAME = re.compile(rf"{_PART}(\.{_PART})*")
SERVICE_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
ROLE_NAME = re.compile(r"[^/%]+")
LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
KEY = re.compile(rf"({_PART}(\.{_PART})*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?")


class _Loader(yaml.CSafeLoader):
    """Reads `=` and `<<` as text, as the API server does, and refuses a key that a map has twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        if twice := {key for key in keys if keys.count(key) > 1}:
            raise ValueError(f"the manifest has twice: {twice}")
        return super().construct_mapping(node, deep=deep)


for kind in ("value", "merge"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{kind}", lambda _, node: node.value)


def parsed(text: str) -> list[Manifest]:
    """The manifests of a render."""
    return [manifest for manifest in yaml.load_all(text, _Loader) if manifest]


def faults(manifest: Any) -> Iterator[str]:
    """Each fault of a manifest as a line."""
    if not isinstance(manifest, dict) or not isinstance(manifest.get("metadata"), dict):
        yield f"not an object of the API: {manifest!r:.200}"
        return
    kind = str(manifest.get("kind"))
    where = f"{kind} {manifest['metadata'].get('name')}"
    if kind in KINDS:
        yield from (
            f"{where}: {error.json_path}: {error.message:.200}" for error in _validator(kind).iter_errors(manifest)
        )
    named = {"Service": SERVICE_NAME}.get(kind, ROLE_NAME if "Role" in kind else NAME)
    name = manifest["metadata"].get("name")
    if not isinstance(name, str) or not named.fullmatch(name) or len(name) > 253:
        yield f"{where}: malformed name"
    yield from (f"{where}: {fault}" for fault in _malformed(manifest))
    if kind == "ConfigMap" and (text := (manifest.get("data") or {}).get("pod-template.json")):
        template = {"apiVersion": "v1", "kind": "Pod", **json.loads(text)}
        template["metadata"]["name"] = "fleet"
        yield from faults(template)


def _malformed(part: Any) -> Iterator[str]:
    if isinstance(part, list):
        for item in part:
            yield from _malformed(item)
    elif isinstance(part, dict):
        for field, value in part.items():
            if field in ("labels", "matchLabels", "nodeSelector", "annotations") and isinstance(value, dict):
                yield from (f"{field} key {key!r}" for key in value if not KEY.fullmatch(key))
            if field in ("labels", "matchLabels", "nodeSelector") and isinstance(value, dict):
                yield from (f"{field} value {text!r}" for text in value.values() if not LABEL.fullmatch(str(text)))
            yield from _malformed(value)


@cache
def _validator(kind: str) -> Draft7Validator:
    return Draft7Validator({"$ref": f"#/definitions/{definition_name(kind)}", "definitions": _DEFINITIONS})
