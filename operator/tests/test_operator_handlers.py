"""Which fleet an event is about."""

from __future__ import annotations

from mqtt_trace_operator.handlers import find_fleet_key
from mqtt_trace_operator.workers import Key


def test_the_label_of_a_child_names_its_fleet() -> None:
    """In the child's own namespace."""
    assert find_fleet_key("iot", {"mqtt-trace.io/fleet": "demo", "other": "label"}) == Key("iot", "demo")


def test_an_empty_label_names_no_fleet() -> None:
    """Asked for the fleet without a name, the API server would answer with the list of all."""
    assert find_fleet_key("iot", {"mqtt-trace.io/fleet": ""}) is None
