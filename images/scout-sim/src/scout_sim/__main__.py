"""The command `mqtt-trace-scout-sim`, which imports only os and signal until a signal ends it quietly."""

import os
import signal


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as a shell sets it for background processes
            # Not an exception, which an import may swallow. Process 1 of a container has no default action.
            signal.signal(number, lambda number, _frame: os._exit(128 + number))
    from scout_sim import command  # noqa: PLC0415 - see the module's docstring

    command.main()


if __name__ == "__main__":
    main()
