"""Which subscription a message came through."""

from __future__ import annotations

import pytest

from mqtt_trace.topics import Subscription, Subscriptions, is_topic_filter


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


@pytest.mark.parametrize(
    ("identifiers", "expected"),
    [
        ((), "sensors/s1/reading"),
        ((1,), "sensors/#"),
        ((2,), "sensors/+/reading"),
        ((1, 2), "sensors/+/reading"),
        ((3,), "sensors/s1/reading"),
        ((3, 1), "sensors/#"),
    ],
)
def test_an_identifier_says_which_of_overlapping_filters_it_was(identifiers: tuple[int, ...], expected: str) -> None:
    """It is believed; an unknown one says nothing, and of several the most specific filter is the template."""
    subscriptions = Subscriptions(["sensors/s1/reading"], {1: "sensors/#", 2: "sensors/+/reading"})
    assert subscriptions.match("sensors/s1/reading", identifiers) == Subscription(expected)


def test_an_identifier_tells_a_shared_subscription_from_a_plain_one() -> None:
    """Both have the same filter, so the topic alone could not."""
    subscriptions = Subscriptions(identifiers={1: "$share/workers/sensors/#", 2: "sensors/#"})
    assert subscriptions.match("sensors/x", [1]) == Subscription("sensors/#", "workers")
    assert subscriptions.match("sensors/x", [2]) == Subscription("sensors/#")


@pytest.mark.parametrize(
    ("removed", "stays"),
    [
        ("$share/g/sensors/#", Subscription("sensors/#")),
        ("sensors/#", Subscription("sensors/#", "g")),
        ("$share/other/sensors/#", Subscription("sensors/#", "g")),
    ],
)
def test_a_subscription_that_is_removed_leaves_others_of_its_filter(removed: str, stays: Subscription) -> None:
    """The broker keeps a plain and a shared subscription to one filter apart (MQTT 5, section 4.8.2)."""
    subscriptions = Subscriptions(["sensors/#", "$share/g/sensors/#"])
    subscriptions.remove(removed)
    assert subscriptions.match("sensors/x") == stays
    subscriptions.remove(removed)
    assert subscriptions.match("sensors/x") == stays


def test_of_subscriptions_to_one_filter_the_latest_is_named() -> None:
    """The last of several subscriptions counts, also when it repeats an earlier one."""
    subscriptions = Subscriptions(["$share/g/sensors/#", "sensors/#"])
    assert subscriptions.match("sensors/x") == Subscription("sensors/#")
    subscriptions.add("$share/g/sensors/#")
    assert subscriptions.match("sensors/x") == Subscription("sensors/#", "g")
    subscriptions.remove("$share/g/sensors/#")
    subscriptions.remove("sensors/#")
    assert subscriptions.match("sensors/x") is None


@pytest.mark.parametrize("text", ["a", "#", "+", "/", "a/+/b", "a/+/#", "$SYS/#"])
def test_these_are_topic_filters(text: str) -> None:
    """A wildcard is a level of its own, and `#` the last one (MQTT 5, section 4.7.1)."""
    assert is_topic_filter(text)


@pytest.mark.parametrize("text", ["", "a/#/b", "#/a", "a+", "a/b#", "++", "a/\0"])
def test_these_are_none(text: str) -> None:
    """A broker would end the connection over them."""
    assert not is_topic_filter(text)
