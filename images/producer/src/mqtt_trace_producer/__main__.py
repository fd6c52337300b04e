"""The commands `mqtt-trace-producer` and `mqtt-trace-check`.

OpenTelemetry reads some variables while it is imported, and raises: they are checked first.
"""

import os
import signal
from types import FrameType

from mqtt_trace.service import check_opentelemetry

_EXIT_BY_SIGINT = 130


def main() -> None:
    """Publish until SIGTERM."""
    check_opentelemetry("mqtt-trace-producer")
    from mqtt_trace_producer import command  # noqa: PLC0415 - see the module's docstring

    command.main()


def check() -> None:
    """Publish one reading and look for its trace, until Ctrl-C."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as a shell starts what runs in the background
        signal.signal(signal.SIGINT, _leave)
    check_opentelemetry("mqtt-trace-check")
    from mqtt_trace_producer import check as command  # noqa: PLC0415 - see the module's docstring

    command.main()


def _leave(_number: int, _frame: FrameType | None) -> None:
    """End at once: nobody waits for what is left to export."""
    os._exit(_EXIT_BY_SIGINT)


if __name__ == "__main__":
    main()
