"""Topic filters: which subscription a message came through (MQTT 5, sections 4.7 and 4.8.2)."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from paho.mqtt.matcher import MQTTMatcher
from paho.mqtt.properties import Properties

__all__ = ["Subscription", "Subscriptions", "TopicAliases", "is_topic_filter"]

_SHARE = "$share/"
_TOPICS_KNOWN = 1024
"""Number of topics whose subscription is cached: matching costs more than the rest of a message's attributes."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """A topic filter and, for a shared subscription, the group that shares it."""

    topic_filter: str
    group: str | None = None

    @classmethod
    def parse(cls, text: str) -> Subscription:
        """Parse a filter of SUBSCRIBE: `sensors/+/reading` or `$share/group/sensors/+/reading`."""
        if not text.startswith(_SHARE):
            return cls(text)
        group, _, topic_filter = text.removeprefix(_SHARE).partition("/")
        return cls(topic_filter, group)


class Subscriptions:
    """Finds the subscription that a message came through.

    Args:
        filters: The filters, as in SUBSCRIBE.
        identifiers: The filters of subscriptions with a Subscription Identifier (MQTT 5, section 3.8.2.1.2).
    """

    def __init__(self, filters: Iterable[str] = (), identifiers: Mapping[int, str] | None = None) -> None:
        self._matcher = MQTTMatcher()  # for each filter its subscriptions, the latest last
        self._identified: dict[int, Subscription] = {}
        self._lock = threading.Lock()  # a program may subscribe while its network thread receives
        self._matched: dict[str, Subscription | None] = {}
        for text in filters:
            self.add(text)
        for identifier, text in (identifiers or {}).items():
            self.add(text, identifier)

    def add(self, text: str, identifier: int | None = None) -> None:
        """Add a subscription."""
        subscription = Subscription.parse(text)
        with self._lock:
            self._matched = {}
            self._matcher[subscription.topic_filter] = (*self._others(subscription), subscription)
            if identifier is not None:
                self._identified[identifier] = subscription

    def remove(self, text: str) -> None:
        """Remove a subscription, if it is known."""
        subscription = Subscription.parse(text)
        with self._lock, suppress(KeyError):
            self._matched = {}
            if others := self._others(subscription):
                self._matcher[subscription.topic_filter] = others
            else:
                del self._matcher[subscription.topic_filter]
            self._identified = {key: one for key, one in self._identified.items() if one != subscription}

    def match(self, topic: str, identifiers: Iterable[int] = ()) -> Subscription | None:
        """The subscription that a message came through, or None if it is not known.

        Args:
            topic: The topic of the message.
            identifiers: Its Subscription Identifiers (MQTT 5, section 3.3.2.3.8). They name the subscriptions exactly.
                Without them, or if they are unknown, the result is a subscription that matches the topic, the most
                specific one if there are several.
        """
        if identifiers:
            with self._lock:
                named = [self._identified[one] for one in identifiers if one in self._identified]
                if named:
                    return named[0] if len(named) == 1 else self._most_specific(topic, named)
        matched = self._matched
        if topic not in matched:
            with self._lock:
                found = next(self._matching(topic), None)
            if len(matched) >= _TOPICS_KNOWN:
                matched.clear()
            matched[topic] = found
        return matched[topic]

    def _most_specific(self, topic: str, named: Sequence[Subscription]) -> Subscription:
        return next((one for one in self._matching(topic) if one in named), named[0])

    def _matching(self, topic: str) -> Iterator[Subscription]:
        """The most specific first, because paho's matcher tries literal levels before + and #."""
        return (one for subscriptions in self._matcher.iter_match(topic) for one in reversed(subscriptions))

    def _others(self, subscription: Subscription) -> tuple[Subscription, ...]:
        """The other subscriptions to the same filter, which differ in their group."""
        try:
            known: tuple[Subscription, ...] = self._matcher[subscription.topic_filter]
        except KeyError:
            return ()
        return tuple(one for one in known if one != subscription)


class TopicAliases:
    """The topics of one publisher's Topic Aliases (MQTT 5, section 3.3.2.3.4)."""

    def __init__(self) -> None:
        self._topics: dict[int, str] = {}

    def topic(self, topic: str, properties: Properties | None) -> str:
        """The topic of a publish: its own, which its Topic Alias then stands for, or that of its Topic Alias.

        Empty if the alias is unknown.
        """
        alias: int | None = getattr(properties, "TopicAlias", None)
        if alias is None:
            return topic
        if topic:
            self._topics[alias] = topic
        return self._topics.get(alias, "")


def is_topic_filter(text: str) -> bool:
    """Whether `+` stands only as a whole level and `#` only as the whole last one (MQTT 5, section 4.7.1)."""
    *above, last = text.split("/")
    return bool(text) and all(_is_level(level, "+") for level in above) and _is_level(last, "+#")


def _is_level(text: str, wildcards: str) -> bool:
    return (len(text) == 1 and text in wildcards) or not set(text) & {"+", "#", "\0"}
