"""The fleet that an event enqueues."""

from __future__ import annotations

from mqtt_trace_operator.handlers import find_fleet_key
from mqtt_trace_operator.workers import Key


def test_the_label_of_a_child_names_its_fleet() -> None:
    """A child's label names a fleet of the child's namespace."""
    assert find_fleet_key("iot", {"mqtt-trace.io/fleet": "demo", "other": "label"}) == Key("iot", "demo")


def test_an_empty_label_names_no_fleet() -> None:
    """An empty label is ignored: for a fleet without a name the API server would return the list of all."""
    assert find_fleet_key("iot", {"mqtt-trace.io/fleet": ""}) is None
