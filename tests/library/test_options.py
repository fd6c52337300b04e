"""Options from the environment."""

from __future__ import annotations

import pytest

from mqtt_trace import ConfigurationError, Conventions, MqttTraceError, Options, Relation


def test_an_empty_environment_gives_the_defaults() -> None:
    """Unset and empty mean the same."""
    assert (
        Options.from_env({})
        == Options()
        == Options.from_env(
            {"MQTT_TRACE_RELATION": "", "MQTT_TRACE_BAGGAGE_KEYS": " ", "MQTT_TRACE_TRUSTED_TOPICS": " "}
        )
    )


def test_every_variable_is_read() -> None:
    """Each option has its variable."""
    environ = {
        "MQTT_TRACE_RELATION": "link",
        "MQTT_TRACE_TRUSTED_TOPICS": "sensors/+/reading, own/#",
        "MQTT_TRACE_BAGGAGE_KEYS": "tenant, site",
        "MQTT_TRACE_BAGGAGE_MAX_BYTES": "64",
        "MQTT_TRACE_JSON_FALLBACK": "true",
        "OTEL_SEMCONV_STABILITY_OPT_IN": "http,messaging",
    }
    assert Options.from_env(environ) == Options(
        relation=Relation.LINK,
        trusted_topics=("sensors/+/reading", "own/#"),
        baggage_keys=frozenset({"tenant", "site"}),
        baggage_max_bytes=64,
        json_fallback=True,
        conventions=Conventions.STABLE,
    )


@pytest.mark.parametrize(
    ("value", "conventions"),
    [
        ("", Conventions.GUIDE),
        ("http", Conventions.GUIDE),
        ("messaging", Conventions.STABLE),
        ("messaging,messaging/dup", Conventions.DUPLICATE),
        ("http/dup, messaging/dup", Conventions.DUPLICATE),
    ],
)
def test_the_opt_in_is_a_list_in_which_dup_wins(value: str, conventions: Conventions) -> None:
    """`messaging/dup` wins in the list, and values of other domains are ignored."""
    assert Options.from_env({"OTEL_SEMCONV_STABILITY_OPT_IN": value}).conventions is conventions


@pytest.mark.parametrize(
    ("variables", "relation"),
    [
        ({}, Relation.PARENT),
        ({"OTEL_SEMCONV_STABILITY_OPT_IN": "http"}, Relation.PARENT),
        ({"OTEL_SEMCONV_STABILITY_OPT_IN": "messaging"}, Relation.BOTH),
        ({"OTEL_SEMCONV_STABILITY_OPT_IN": "http,messaging/dup", "MQTT_TRACE_RELATION": " "}, Relation.BOTH),
        ({"OTEL_SEMCONV_STABILITY_OPT_IN": "messaging", "MQTT_TRACE_RELATION": "parent"}, Relation.PARENT),
        ({"OTEL_SEMCONV_STABILITY_OPT_IN": "messaging/dup", "MQTT_TRACE_RELATION": "LINK"}, Relation.LINK),
        ({"MQTT_TRACE_RELATION": "both"}, Relation.BOTH),
    ],
)
def test_the_conventions_that_were_opted_in_to_bring_the_link(variables: dict[str, str], relation: Relation) -> None:
    """Spans of the guide have only a parent, those of the conventions also a link, unless the variable is set."""
    assert Options.from_env(variables).effective_relation is relation


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MQTT_TRACE_RELATION", "child"),
        ("MQTT_TRACE_RELATION", "parent,link"),
        ("MQTT_TRACE_TRUSTED_TOPICS", "sensors/#/reading"),
        ("MQTT_TRACE_TRUSTED_TOPICS", ","),
        ("MQTT_TRACE_TRUSTED_TOPICS", " , "),
        ("MQTT_TRACE_BAGGAGE_MAX_BYTES", "-1"),
        ("MQTT_TRACE_BAGGAGE_MAX_BYTES", "1k"),
        ("MQTT_TRACE_JSON_FALLBACK", "yes"),
    ],
)
def test_a_wrong_value_is_refused_by_name(variable: str, value: str) -> None:
    """The error names the variable and shows the value, in one line."""
    with pytest.raises(ConfigurationError) as caught:
        Options.from_env({variable: value})
    assert caught.value.variable == variable
    assert repr(value) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, MqttTraceError)
