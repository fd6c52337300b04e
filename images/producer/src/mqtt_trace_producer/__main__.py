"""The commands `mqtt-trace-producer` and `mqtt-trace-check`.

Before they import anything else, signals can end them quietly. OpenTelemetry reads some variables at import and raises
for wrong values, so they are checked first.
"""

import os
import signal


def main() -> None:
    """Publish until SIGTERM."""
    _end_quietly()
    from mqtt_trace_service import check_opentelemetry  # noqa: PLC0415 - see the module's docstring

    check_opentelemetry("mqtt-trace-producer")
    from mqtt_trace_producer import command  # noqa: PLC0415 - see the module's docstring

    command.main()


def check() -> None:
    """Publish one reading and check its trace; Ctrl-C ends the check."""
    _end_quietly()
    from mqtt_trace_service import check_opentelemetry  # noqa: PLC0415 - see the module's docstring

    check_opentelemetry("mqtt-trace-check")
    from mqtt_trace_producer import check as command  # noqa: PLC0415 - see the module's docstring

    command.main()


def _end_quietly() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as a shell starts what runs in the background
            # Not an exception, which an import may swallow. As process 1 of a container it has no default action.
            signal.signal(number, lambda number, _frame: os._exit(128 + number))


if __name__ == "__main__":
    main()
