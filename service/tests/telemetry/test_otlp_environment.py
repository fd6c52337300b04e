"""What the OTEL_* variables ask for."""

from __future__ import annotations

import pytest
from mqtt_trace_service._otel_environment import Destination, batching, destination, normalize, plan, with_stable_http

from mqtt_trace import ConfigurationError


def test_without_any_variable_exports_go_to_the_collector_over_http() -> None:
    """The default endpoint is that of the services' documentation, with the signal's path."""
    assert destination("traces", {}) == Destination("traces", "http/protobuf", "http://otel-collector:4318/v1/traces")


def test_over_grpc_the_endpoint_has_no_path() -> None:
    """OTLP/gRPC has a default port of its own, and one address for all signals."""
    environ = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    assert destination("logs", environ) == Destination("logs", "grpc", "http://otel-collector:4317")


def test_the_variables_of_a_signal_win() -> None:
    """A signal's own endpoint and protocol take precedence over the common ones."""
    environ = {
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317",
        "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "https://elsewhere/otlp",
    }
    assert destination("metrics", environ) == Destination("metrics", "http/protobuf", "https://elsewhere/otlp")
    assert destination("traces", environ) == Destination("traces", "grpc", "http://collector:4317")


def test_an_empty_variable_counts_as_unset() -> None:
    """An empty variable counts as unset, as in the OpenTelemetry specification."""
    environ = {
        "OTEL_EXPORTER_OTLP_PROTOCOL": "",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "",
        "OTEL_TRACES_EXPORTER": "",
        "OTEL_BSP_MAX_QUEUE_SIZE": "",
    }
    assert plan(environ) == plan({})


def test_a_signal_can_be_turned_off() -> None:
    """The exporter `none` turns one signal off, and OTEL_SDK_DISABLED turns off all."""
    assert destination("logs", {"OTEL_LOGS_EXPORTER": "none"}) is None
    assert destination("traces", {"OTEL_LOGS_EXPORTER": "none"}) is not None
    assert destination("metrics", {"OTEL_SDK_DISABLED": "TRUE"}) is None


_PROPAGATORS = "b3, b3multi, baggage, jaeger, none, tracecontext, xray, xray-lambda"
"""Those of the API and of the packages for development."""


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "must be http/protobuf or grpc (got 'http/json')"),
        ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "tcp", "must be http/protobuf or grpc (got 'tcp')"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "must be an http(s):// address (got 'collector:4318')"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://:x", "must be an http(s):// address (got 'http://:x')"),
        (
            "OTEL_METRICS_EXEMPLAR_FILTER",
            "all",
            "must be trace_based, always_on or always_off (got 'all')",
        ),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zip", "must be none, gzip or deflate (got 'zip')"),
        ("OTEL_EXPORTER_OTLP_LOGS_COMPRESSION", "zip", "must be none, gzip or deflate (got 'zip')"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "many", "must be a whole number, 0 or more (got 'many')"),
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "-1", "must be a whole number, 0 or more (got '-1')"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:b", "must be an http(s):// address (got 'http://a:b')"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://[::1", "must be an http(s):// address (got 'http://[::1')"),
        ("OTEL_METRICS_EXPORTER", "prometheus", "must be otlp or none (got 'prometheus')"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon", "must be a positive number (got 'soon')"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "inf", "must be a positive number (got 'inf')"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "-1", "must be a positive number (got '-1')"),
        ("OTEL_BLRP_SCHEDULE_DELAY", "0", "must be a positive number (got '0')"),
        (
            "OTEL_TRACES_SAMPLER",
            "sometimes",
            (
                "must be always_on, always_off, traceidratio, parentbased_always_on, "
                "parentbased_always_off or parentbased_traceidratio (got 'sometimes')"
            ),
        ),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "x", "must be cumulative, delta or lowmemory (got 'x')"),
        ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "/no/ca.pem", "must be a file (got '/no/ca.pem')"),
        (
            "OTEL_EXPORTER_OTLP_CERTIFICATE",
            "/" + "a" * 300,
            f"must be a file (got '/{'a' * 300}')",
        ),
        ("OTEL_EXPORTER_OTLP_HEADERS", "secret", "must be name=value pairs, separated by commas"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=b,=c", "must be name=value pairs, separated by commas"),
        (
            "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER",
            "x",
            "must be installed; available: nothing (got 'x')",
        ),
        ("OTEL_BSP_EXPORT_TIMEOUT", "1.5", "must be a positive number (got '1.5')"),
        ("OTEL_BLRP_EXPORT_TIMEOUT", "soon", "must be a positive number (got 'soon')"),
        ("OTEL_METRIC_EXPORT_TIMEOUT", "soon", "must be a positive number (got 'soon')"),
        (
            "OTEL_PROPAGATORS",
            "b3,ottrace",
            f"must be installed; available: {_PROPAGATORS} (got 'b3,ottrace')",
        ),
    ],
)
def test_an_invalid_value_is_named_with_its_variable(variable: str, value: str, problem: str) -> None:
    """An invalid value is an error with its variable, where the SDK would ignore it or raise a traceback."""
    with pytest.raises(ConfigurationError) as raised:
        plan({variable: value})
    assert (raised.value.variable, raised.value.problem) == (variable, problem)


@pytest.mark.parametrize("value", ["tracecontext", "baggage, tracecontext", "none"])
def test_propagators_that_opentelemetry_takes_are_taken(value: str) -> None:
    """Those of the API are there without another package."""
    assert plan({"OTEL_PROPAGATORS": value}) == plan({})


@pytest.mark.parametrize("ratio", ["most", "1.5", "-0.1", "nan"])
def test_an_invalid_ratio_is_refused_for_the_samplers_that_use_it(ratio: str) -> None:
    """An invalid ratio is refused only for samplers that use one."""
    with pytest.raises(ConfigurationError, match="OTEL_TRACES_SAMPLER_ARG: must be a number from 0 to 1"):
        plan({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": ratio})
    assert plan({"OTEL_TRACES_SAMPLER": "always_on", "OTEL_TRACES_SAMPLER_ARG": ratio}) == plan({})
    assert plan({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}) == plan({})


def test_pairs_may_end_in_a_comma() -> None:
    """Pairs may end in a comma, and their values may be empty or contain equals signs."""
    assert plan({"OTEL_RESOURCE_ATTRIBUTES": "a=b,c=,", "OTEL_EXPORTER_OTLP_HEADERS": "k=v=="}) == plan({})


def test_empty_variables_are_removed_and_others_stripped() -> None:
    """Empty `OTEL_*` variables are removed and others stripped; other variables stay unchanged."""
    environ = {"OTEL_METRICS_EXEMPLAR_FILTER": "", "OTEL_PROPAGATORS": " ", "OTEL_SERVICE_NAME": "s ", "MQTT_TLS": ""}
    normalize(environ)
    assert environ == {"OTEL_SERVICE_NAME": "s", "MQTT_TLS": ""}


def test_a_batch_fits_into_the_queue() -> None:
    """The default batch fits into a small queue, and a configured one that does not fit is refused."""
    assert batching("BSP", {"OTEL_BSP_MAX_QUEUE_SIZE": "100"}).batch_size == 100
    with pytest.raises(ConfigurationError, match="OTEL_BSP_MAX_EXPORT_BATCH_SIZE: must not exceed"):
        batching("BSP", {"OTEL_BSP_MAX_QUEUE_SIZE": "100", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "101"})


def test_the_queue_sizes_of_the_user_win() -> None:
    """Spans and log records have separate variables for their queues."""
    environ = {"OTEL_BSP_MAX_QUEUE_SIZE": "1000", "OTEL_BLRP_MAX_QUEUE_SIZE": "2000"}
    assert (batching("BSP", environ).queue_size, batching("BLRP", environ).queue_size) == (1000, 2000)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "http"),
        ("messaging", "messaging,http"),
        ("http", "http"),
        ("http/dup", "http/dup"),
        ("database/dup, http/dup ,messaging/dup", "database/dup,http/dup,messaging/dup"),
    ],
)
def test_the_stable_http_conventions_are_added_to_what_the_user_chose(before: str, after: str) -> None:
    """`http` is added to the user's opt-ins, unless `http/dup` already includes it."""
    assert with_stable_http(before) == after
