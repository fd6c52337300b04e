"""When a pod whose fleet file has changed is annotated: kubelet then refreshes its volumes now, not in a minute."""

from datetime import datetime

from lightkube.resources.core_v1 import Pod

from mqtt_trace_operator.cluster import GENERATION_ANNOTATION

_AGAIN_AFTER_S = 5
"""Kubelet may look before it has heard of the new ConfigMap, and then not for another minute."""


def refresh_annotation(pod: Pod, generation: int, now: datetime) -> str | None:
    """The value of the annotation for a pod that works by an older fleet file; None when it has it already."""
    there = ((pod.metadata.annotations if pod.metadata else None) or {}).get(GENERATION_ANNOTATION, "")
    of, _, since = there.partition("/")
    moment = int(now.timestamp())
    if of == str(generation) and since.isdecimal() and moment < int(since) + _AGAIN_AFTER_S:
        return None
    return f"{generation}/{moment}"
