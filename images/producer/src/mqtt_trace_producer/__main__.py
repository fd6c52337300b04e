"""The commands `mqtt-trace-producer` and `mqtt-trace-check`.

They import nothing until a signal ends them quietly, and no OpenTelemetry until the variables are checked that it reads
while it is imported, and raises for.
"""

import os
import signal


def main() -> None:
    """Publish until SIGTERM."""
    _end_quietly()
    from mqtt_trace.service import check_opentelemetry  # noqa: PLC0415 - see the module's docstring

    check_opentelemetry("mqtt-trace-producer")
    from mqtt_trace_producer import command  # noqa: PLC0415 - see the module's docstring

    command.main()


def check() -> None:
    """Publish one reading and look for its trace, until Ctrl-C."""
    _end_quietly()
    from mqtt_trace.service import check_opentelemetry  # noqa: PLC0415 - see the module's docstring

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
