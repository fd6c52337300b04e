"""Topic filters: which subscription a message came through (MQTT 5, sections 4.7 and 4.8.2)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from paho.mqtt.matcher import MQTTMatcher

_SHARE = "$share/"


@dataclass(frozen=True, slots=True)
class Subscription:
    """A topic filter and, for a shared subscription, the group that shares it."""

    topic_filter: str
    group: str | None = None

    @classmethod
    def parse(cls, text: str) -> Subscription:
        """Read a filter as it is sent in SUBSCRIBE: `sensors/+/reading` or `$share/group/sensors/+/reading`."""
        if not text.startswith(_SHARE):
            return cls(text)
        group, _, topic_filter = text.removeprefix(_SHARE).partition("/")
        return cls(topic_filter, group)


class Subscriptions:
    """Finds the subscription that matches a topic."""

    def __init__(self, filters: Iterable[str] = ()) -> None:
        self._matcher = MQTTMatcher()
        for text in filters:
            subscription = Subscription.parse(text)
            self._matcher[subscription.topic_filter] = subscription

    def match(self, topic: str) -> Subscription | None:
        """The first matching subscription, or None."""
        found: Subscription | None = next(self._matcher.iter_match(topic), None)
        return found
