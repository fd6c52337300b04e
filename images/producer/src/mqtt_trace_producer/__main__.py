"""The commands `mqtt-trace-producer` and `mqtt-trace-check`.

OpenTelemetry reads some variables while it is imported, and raises: they are checked first.
"""

from mqtt_trace.service import check_opentelemetry


def main() -> None:
    """Publish until SIGTERM."""
    check_opentelemetry("mqtt-trace-producer")
    from mqtt_trace_producer import command  # noqa: PLC0415 - see the module's docstring

    command.main()


def check() -> None:
    """Publish one reading and look for its trace."""
    check_opentelemetry("mqtt-trace-check")
    from mqtt_trace_producer import check as command  # noqa: PLC0415 - see the module's docstring

    command.main()


if __name__ == "__main__":
    main()
