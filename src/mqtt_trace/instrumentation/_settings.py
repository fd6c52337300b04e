"""Settings of the instrumentation, from the environment."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import lru_cache

from paho.mqtt.matcher import MQTTMatcher

from mqtt_trace._errors import ConfigurationError
from mqtt_trace.topics import is_topic_filter

_VARIABLE = "OTEL_PYTHON_PAHO_MQTT_EXCLUDED_TOPICS"


def excluded_topics(environ: Mapping[str, str] = os.environ) -> Callable[[str], bool] | None:
    """Whether a topic is excluded, by the topic filters (MQTT 5, section 4.7) in the environment; None for no topic.

    Raises:
        ConfigurationError: One of them is not a topic filter, or is a `$share` filter, which names a subscription.
    """
    filters = [text.strip() for text in environ.get(_VARIABLE, "").split(",") if text.strip()]
    if not filters:
        return None
    matcher = MQTTMatcher()
    for text in filters:
        if not is_topic_filter(text) or text.startswith("$share/"):
            problem = f"must be topic filters separated by commas, such as health/#,+/debug (got {text!r})"
            raise ConfigurationError(variable=_VARIABLE, problem=problem)
        matcher[text] = text

    @lru_cache(maxsize=1024)
    def excluded(topic: str) -> bool:
        return next(matcher.iter_match(topic), None) is not None

    return excluded
