"""When to annotate a pod with an outdated fleet file: any change of a pod makes kubelet refresh its volumes at once."""

from datetime import datetime

from lightkube.resources.core_v1 import Pod

from mqtt_trace_operator.cluster import GENERATION_ANNOTATION

_RETRY_AFTER_S = 5
"""Kubelet may refresh before it has seen the new ConfigMap, and then not for another minute."""


def refresh_annotation(pod: Pod, version: str, now: datetime) -> str | None:
    """The annotation for a pod with an outdated fleet file; None while a recent annotation may still take effect."""
    current = ((pod.metadata.annotations if pod.metadata else None) or {}).get(GENERATION_ANNOTATION, "")
    annotated, _, since = current.partition("/")
    now_s = int(now.timestamp())
    if annotated == version and since.isdecimal() and now_s < int(since) + _RETRY_AFTER_S:
        return None
    return f"{version}/{now_s}"
