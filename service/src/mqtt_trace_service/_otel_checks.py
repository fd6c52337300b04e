"""Finds values of `OTEL_*` variables that the SDK would silently misread, or for which it would raise a traceback.

This module does not import the SDK, which reads some of the variables on import, and raises.
Names and meanings: OpenTelemetry specification, "Environment Variable Specification" and "OTLP Exporter Configuration".
"""

import os
from collections.abc import Mapping
from importlib.metadata import entry_points
from itertools import product
from typing import TypeVar

from mqtt_trace._errors import ConfigurationError

Environment = Mapping[str, str]
Number = TypeVar("Number", int, float)

_SIGNAL_PREFIXES = ("", "TRACES_", "METRICS_", "LOGS_")
_NAMES: Mapping[str, tuple[str, ...]] = {
    "OTEL_TRACES_SAMPLER": (
        "always_on",
        "always_off",
        "traceidratio",
        "parentbased_always_on",
        "parentbased_always_off",
        "parentbased_traceidratio",
    ),
    "OTEL_METRICS_EXEMPLAR_FILTER": ("trace_based", "always_on", "always_off"),
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": ("cumulative", "delta", "lowmemory"),
    "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION": (
        "explicit_bucket_histogram",
        "base2_exponential_bucket_histogram",
    ),
    **{f"OTEL_EXPORTER_OTLP_{signal}COMPRESSION": ("none", "gzip", "deflate") for signal in _SIGNAL_PREFIXES},
}
_ENTRY_POINTS: Mapping[str, str] = {
    "OTEL_PROPAGATORS": "opentelemetry_propagator",
    "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "opentelemetry_resource_detector",
    "OTEL_PYTHON_METER_PROVIDER": "opentelemetry_meter_provider",
    "OTEL_PYTHON_TRACER_PROVIDER": "opentelemetry_tracer_provider",
    **{
        f"OTEL_PYTHON_EXPORTER_OTLP_{protocol}_{signal}CREDENTIAL_PROVIDER": "opentelemetry_otlp_credential_provider"
        for protocol, signal in product(("HTTP", "GRPC"), _SIGNAL_PREFIXES)
    },
}
"""Entry point groups of other packages; the variable selects from them."""
_BUILT_IN = {"OTEL_PROPAGATORS": {"none"}, "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": {"*"}}
_LIMITS = (
    "OTEL_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_SPAN_EVENT_COUNT_LIMIT",
    "OTEL_SPAN_LINK_COUNT_LIMIT",
    "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT",
)
_FILES = tuple(
    f"OTEL_EXPORTER_OTLP_{signal}{file}"
    for signal, file in product(_SIGNAL_PREFIXES, ("CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"))
)
_PAIRS = ("OTEL_RESOURCE_ATTRIBUTES", *(f"OTEL_EXPORTER_OTLP_{signal}HEADERS" for signal in _SIGNAL_PREFIXES))


def check(environ: Environment) -> None:
    """Find an invalid value.

    Raises:
        ConfigurationError: The first invalid variable.
    """
    _check_names(environ)
    _check_installed(environ)
    _check_numbers(environ)
    _check_files(environ)
    _check_pairs(environ)


def positive(variable: str, environ: Environment, kind: type[Number]) -> Number | None:
    """A number, None if the variable is not set.

    Raises:
        ConfigurationError: The value is not a positive number.
    """
    value = text(variable, environ)
    if not value:
        return None
    try:
        number = kind(value)
    except ValueError:
        number = kind(0)
    if not 0 < number < float("inf"):
        raise ConfigurationError(variable=variable, problem=f"must be a positive number (got '{value}')")
    return number


def text(variable: str, environ: Environment) -> str:
    """A value without spaces around it; empty if the variable is not set."""
    return environ.get(variable, "").strip()


def _check_names(environ: Environment) -> None:
    for variable, known in _NAMES.items():
        value = text(variable, environ)
        if value and value.lower() not in known:
            problem = f"must be {', '.join(known[:-1])} or {known[-1]} (got '{value}')"
            raise ConfigurationError(variable=variable, problem=problem)


def _check_installed(environ: Environment) -> None:
    for variable, group in _ENTRY_POINTS.items():
        value = text(variable, environ)
        if not value:
            continue
        known = {entry.name for entry in entry_points(group=group)} | _BUILT_IN.get(variable, set())
        if not {name.strip() for name in value.split(",")} <= known:
            names = ", ".join(sorted(known)) or "nothing"
            raise ConfigurationError(
                variable=variable, problem=f"must be installed; available: {names} (got '{value}')"
            )


def _check_numbers(environ: Environment) -> None:
    for variable in _LIMITS:
        value = text(variable, environ)
        if value and not (value.isascii() and value.isdecimal()):
            problem = f"must be a whole number, 0 or more (got '{value}')"
            raise ConfigurationError(variable=variable, problem=problem)
    for variable in ("OTEL_BSP_EXPORT_TIMEOUT", "OTEL_BLRP_EXPORT_TIMEOUT"):
        positive(variable, environ, int)
    positive("OTEL_METRIC_EXPORT_TIMEOUT", environ, float)
    _check_sampling_ratio(environ)


def _check_sampling_ratio(environ: Environment) -> None:
    variable = "OTEL_TRACES_SAMPLER_ARG"
    value = text(variable, environ)
    if not value or not text("OTEL_TRACES_SAMPLER", environ).lower().endswith("traceidratio"):
        return
    try:
        ratio = float(value)
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= 1:
        raise ConfigurationError(variable=variable, problem=f"must be a number from 0 to 1 (got '{value}')")


def _check_files(environ: Environment) -> None:
    for variable in _FILES:
        value = text(variable, environ)
        if value and not os.path.isfile(value):  # noqa: PTH113 - pathlib raises for a name that is too long or inaccessible
            raise ConfigurationError(variable=variable, problem=f"must be a file (got '{value}')")


def _check_pairs(environ: Environment) -> None:
    """Check pairs; headers are secrets, so the message does not show the value."""
    for variable in _PAIRS:
        for pair in filter(str.strip, text(variable, environ).split(",")):
            name, equals, _ = pair.partition("=")
            if not (name.strip() and equals):
                raise ConfigurationError(variable=variable, problem="must be name=value pairs, separated by commas")
