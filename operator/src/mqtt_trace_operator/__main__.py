"""The command `mqtt-trace-operator`.

Before it imports anything else, signals can end it quietly. OpenTelemetry reads some variables at import and raises on
a wrong value, so they are checked first.
"""

import os
import signal


def main() -> None:
    """Run the operator until SIGTERM."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as a shell starts what runs in the background
            # Not an exception, which an import may swallow. As process 1 of a container it has no default action.
            signal.signal(number, lambda number, _frame: os._exit(128 + number))
    from mqtt_trace_service import check_opentelemetry  # noqa: PLC0415 - see the module's docstring

    check_opentelemetry("mqtt-trace-operator")
    from mqtt_trace_operator import command  # noqa: PLC0415 - see the module's docstring

    command.main()


if __name__ == "__main__":
    main()
