"""The command `mqtt-trace-echo`.

OpenTelemetry reads some variables while it is imported, and raises: they are checked first.
"""

from mqtt_trace.service import check_opentelemetry


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    check_opentelemetry("mqtt-trace-echo")
    from mqtt_trace_echo import command  # noqa: PLC0415 - see the module's docstring

    command.main()


if __name__ == "__main__":
    main()
