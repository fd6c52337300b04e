"""Which subscription a message came through."""

from __future__ import annotations

import pytest

from mqtt_trace.topics import Subscription, Subscriptions


def test_a_shared_subscription_matches_by_its_filter() -> None:
    """`$share/group/` is part of the subscription, never of a topic (MQTT 5, section 4.8.2)."""
    subscriptions = Subscriptions(["$share/workers/sensors/+/reading"])
    assert subscriptions.match("sensors/sensor-001/reading") == Subscription("sensors/+/reading", "workers")


@pytest.mark.parametrize("topic", ["sensors/reading", "sensors/a/b/reading", "$SYS/x"])
def test_a_topic_of_no_subscription_matches_none(topic: str) -> None:
    """There is no template to name then."""
    assert Subscriptions(["sensors/+/reading"]).match(topic) is None


def test_a_filter_with_a_slash_after_the_group_is_kept_whole() -> None:
    """Only the first level behind `$share` is the group."""
    assert Subscription.parse("$share/g/a/b/#") == Subscription("a/b/#", "g")
    assert Subscription.parse("a/b/#") == Subscription("a/b/#", None)
