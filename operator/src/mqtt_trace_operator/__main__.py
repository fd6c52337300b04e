"""The command `mqtt-trace-operator`.

It imports only os and signal before its handlers are set, so that a signal ends it without a traceback. It imports
OpenTelemetry only after the check of the variables for which that import raises.
"""

import os
import signal


def main() -> None:
    """Run the operator until SIGTERM."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as a shell sets it for background processes
            # Not an exception, which an import may swallow. Process 1 of a container has no default action.
            signal.signal(number, lambda number, _frame: os._exit(128 + number))
    from mqtt_trace_service import check_opentelemetry  # noqa: PLC0415 - see the module's docstring

    check_opentelemetry("mqtt-trace-operator")
    from mqtt_trace_operator import command  # noqa: PLC0415 - see the module's docstring

    command.main()


if __name__ == "__main__":
    main()
