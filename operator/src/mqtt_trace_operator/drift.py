"""Whether an object in the cluster is what was applied, and whose it is."""

from collections.abc import Mapping
from decimal import Decimal
from enum import Enum, auto
from typing import Any

from lightkube.resources.core_v1 import Pod
from lightkube.utils.quantity import parse_quantity

from mqtt_trace_operator.fleet import KIND, Fleet, Object

_KEYS = ("name", "uid", "containerPort", "mountPath")
"""What tells the items of a list apart, where server-side apply merges lists by a key."""

_QUANTITIES = ("limits", "requests")


class Child(Enum):
    """What has to be done about a child."""

    MISSING = auto()
    """It has to be created."""
    TERMINATING = auto()
    """It belonged to a fleet of the same name that was deleted; the garbage collector is about to remove it."""
    FOREIGN = auto()
    """It is somebody else's: hands off."""
    DRIFTED = auto()
    """It has to be applied again."""
    CURRENT = auto()
    """Nothing."""


def classify(live: Object | None, wanted: Object, fleet: Fleet) -> Child:
    """Compare a child with what the fleet wants it to be. What others added to it does not count."""
    if live is None:
        return Child.MISSING
    controller = _controller(live)
    if is_own(live, fleet):
        leaving = live["metadata"].get("deletionTimestamp") is not None
        return Child.TERMINATING if leaving else Child.CURRENT if contains(live, wanted) else Child.DRIFTED
    if (controller.get("kind"), controller.get("name")) == (KIND, fleet.name):
        return Child.TERMINATING
    return Child.FOREIGN


def is_own(child: Object, fleet: Fleet) -> bool:
    """Whether a child is this fleet's, and not one of another fleet of its name."""
    return bool(_controller(child).get("uid") == fleet.uid)


def is_made_by(pod: Pod, stateful_set: Object) -> bool:
    """Whether a pod is this StatefulSet's, and not one of another StatefulSet of its name."""
    references = (pod.metadata.ownerReferences if pod.metadata else None) or []
    uid = stateful_set["metadata"]["uid"]
    return any(reference.controller and reference.uid == uid for reference in references)


def contains(live: Any, wanted: Any) -> bool:
    """Whether everything that is wanted is there. Lists of named items may have more, in another order.

    The API server drops what is empty or false, and writes a quantity of 1024Mi as 1Gi.
    """
    if live is None:
        return not wanted
    if isinstance(wanted, Mapping):
        return isinstance(live, Mapping) and all(_has(live, key, value) for key, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(live, list) and _has_items(live, wanted)
    return bool(live == wanted)


def _has(live: Mapping[str, Any], key: str, wanted: Any) -> bool:
    if key in _QUANTITIES and isinstance(wanted, Mapping):
        there = live.get(key) or {}
        return all(name in there and _worth(there[name]) == _worth(quantity) for name, quantity in wanted.items())
    if key == "divisor":
        return _worth(live.get(key)) == _worth(wanted)
    return contains(live.get(key), wanted)


def _has_items(live: list[Any], wanted: list[Any]) -> bool:
    key = next((key for key in _KEYS if all(isinstance(item, Mapping) and key in item for item in wanted)), None)
    if key is None:
        return len(live) == len(wanted) and all(map(contains, live, wanted))
    there = {item[key]: item for item in live if isinstance(item, Mapping) and key in item}
    return all(contains(there.get(item[key]), item) for item in wanted)


def _worth(quantity: Any) -> Decimal | str | None:
    try:
        return parse_quantity(str(quantity))
    except ValueError:  # of what Kubernetes takes it knows neither 500u nor 1E3
        return str(quantity)


def _controller(live: Object) -> Mapping[str, Any]:
    references = live["metadata"].get("ownerReferences") or []
    return next((reference for reference in references if reference.get("controller")), {})
