"""The commands `mqtt-trace-producer` and `mqtt-trace-check`.

They import only os and signal before their handlers are set, so that a signal ends them without a traceback. They
import OpenTelemetry only after the check of the variables for which that import raises.
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
        if signal.getsignal(number) is not signal.SIG_IGN:  # as a shell sets it for background processes
            # Not an exception, which an import may swallow. Process 1 of a container has no default action.
            signal.signal(number, lambda number, _frame: os._exit(128 + number))


if __name__ == "__main__":
    main()
