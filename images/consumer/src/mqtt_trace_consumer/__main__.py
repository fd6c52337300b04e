"""The command `mqtt-trace-consumer`.

OpenTelemetry reads some variables while it is imported, and raises: they are checked first.
"""

from mqtt_trace.service import check_opentelemetry


def main() -> None:
    """Consume until SIGTERM."""
    check_opentelemetry("mqtt-trace-consumer")
    from mqtt_trace_consumer import command  # noqa: PLC0415 - see the module's docstring

    command.main()


if __name__ == "__main__":
    main()
