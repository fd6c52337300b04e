"""The configuration in the `OTEL_*` variables, as pure functions of an environment; the SDK reads the others itself.

Names and meanings: OpenTelemetry specification, "Environment Variable Specification" and "OTLP Exporter Configuration".
"""

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Literal, get_args
from urllib.parse import urlsplit

from mqtt_trace._errors import ConfigurationError
from mqtt_trace_service._otel_checks import Environment, check, positive, text

Signal = Literal["traces", "metrics", "logs"]
Protocol = Literal["http/protobuf", "grpc"]

_DEFAULT_ENDPOINTS: Mapping[Protocol, str] = {
    "http/protobuf": "http://otel-collector:4318",
    "grpc": "http://otel-collector:4317",
}

# An export is retried for five minutes (see _delivery), and the queue must hold the items of that time: 65,536 items
# are 200 per second, a pod of 200 sensors at one reading per second. Each takes up to 3.5 KB: 230 MB in the worst case.
_DEFAULT_QUEUE_SIZE = 65_536
_DEFAULT_BATCH_SIZE = 512

_SCHEDULE_DELAYS_MS: Mapping[str, int] = {"BSP": 5_000, "BLRP": 1_000}


@dataclass(frozen=True, slots=True)
class Destination:
    """The destination of a signal's exports."""

    signal: Signal
    protocol: Protocol
    endpoint: str


@dataclass(frozen=True, slots=True)
class Batching:
    """The configuration of a batch processor: `OTEL_BSP_*` for spans, `OTEL_BLRP_*` for log records."""

    queue_size: int
    batch_size: int
    schedule_delay_ms: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The configuration of all signals; one without a destination is not exported."""

    traces: Destination | None
    metrics: Destination | None
    logs: Destination | None
    span_batching: Batching
    log_batching: Batching
    metric_interval_ms: float


def plan(environ: Environment) -> Plan:
    """Read and check the variables.

    Raises:
        ConfigurationError: The first invalid variable.
    """
    check(environ)
    return Plan(
        traces=destination("traces", environ),
        metrics=destination("metrics", environ),
        logs=destination("logs", environ),
        span_batching=batching("BSP", environ),
        log_batching=batching("BLRP", environ),
        metric_interval_ms=positive("OTEL_METRIC_EXPORT_INTERVAL", environ, float) or 60_000,
    )


def destination(signal: Signal, environ: Environment) -> Destination | None:
    """The destination of `signal`; None if `OTEL_<SIGNAL>_EXPORTER` is `none` or the SDK is disabled.

    Raises:
        ConfigurationError: An invalid exporter, protocol, endpoint or time-out.
    """
    if text("OTEL_SDK_DISABLED", environ).lower() == "true":
        return None
    variable = f"OTEL_{signal.upper()}_EXPORTER"
    match text(variable, environ).lower():
        case "none":
            return None
        case "" | "otlp":
            pass
        case _:
            raise ConfigurationError(variable=variable, problem=f"must be otlp or none (got '{environ[variable]}')")
    for name in (f"OTEL_EXPORTER_OTLP_{signal.upper()}_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"):
        positive(name, environ, float)
    protocol = _protocol(signal, environ)
    return Destination(signal, protocol, _endpoint(signal, protocol, environ))


def batching(prefix: Literal["BSP", "BLRP"], environ: Environment) -> Batching:
    """The sizes and the delay of a batch processor.

    Raises:
        ConfigurationError: A value that is not a positive number, or a batch larger than the queue.
    """
    queue_size = positive(f"OTEL_{prefix}_MAX_QUEUE_SIZE", environ, int) or _DEFAULT_QUEUE_SIZE
    variable = f"OTEL_{prefix}_MAX_EXPORT_BATCH_SIZE"
    batch_size = positive(variable, environ, int) or min(_DEFAULT_BATCH_SIZE, queue_size)
    if batch_size > queue_size:
        raise ConfigurationError(
            variable=variable,
            problem=f"must not exceed OTEL_{prefix}_MAX_QUEUE_SIZE, {queue_size} (got '{batch_size}')",
        )
    delay_ms = positive(f"OTEL_{prefix}_SCHEDULE_DELAY", environ, int) or _SCHEDULE_DELAYS_MS[prefix]
    return Batching(queue_size, batch_size, delay_ms)


def normalize(environ: MutableMapping[str, str]) -> None:
    """Remove empty variables, which count as unset, and strip the others.

    The SDK does this only for some variables, so it would see a value other than the checked one.
    """
    for variable in [name for name in environ if name.startswith("OTEL_")]:
        if value := text(variable, environ):
            environ[variable] = value
        else:
            del environ[variable]


def with_stable_http(opt_in: str) -> str:
    """Add `http` to a value of `OTEL_SEMCONV_STABILITY_OPT_IN`, and keep its other entries."""
    chosen = [value.strip() for value in opt_in.split(",") if value.strip()]
    if not {"http", "http/dup"} & set(chosen):
        chosen.append("http")
    return ",".join(chosen)


def _protocol(signal: Signal, environ: Environment) -> Protocol:
    for variable in (f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        value = text(variable, environ)
        for protocol in get_args(Protocol):
            if value == protocol:
                return protocol  # type: ignore[no-any-return]  # get_args forgets the literals
        if value:
            raise ConfigurationError(
                variable=variable, problem=f"must be {' or '.join(get_args(Protocol))} (got '{value}')"
            )
    return "http/protobuf"


def _endpoint(signal: Signal, protocol: Protocol, environ: Environment) -> str:
    variable = f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT"
    if specific := text(variable, environ):
        return _checked_endpoint(variable, specific, protocol)
    base = text("OTEL_EXPORTER_OTLP_ENDPOINT", environ) or _DEFAULT_ENDPOINTS[protocol]
    base = _checked_endpoint("OTEL_EXPORTER_OTLP_ENDPOINT", base, protocol)
    return base if protocol == "grpc" else f"{base.removesuffix('/')}/v1/{signal}"


def _checked_endpoint(variable: str, endpoint: str, protocol: Protocol) -> str:
    try:
        url = urlsplit(endpoint if "://" in endpoint or protocol != "grpc" else f"http://{endpoint}")
        usable = url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0
    except ValueError:  # an invalid port or IPv6 address
        usable = False
    if not usable:
        raise ConfigurationError(variable=variable, problem=f"must be an http(s):// address (got '{endpoint}')")
    return endpoint
