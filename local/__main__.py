"""`python -m local demo` and `python -m local up`: Ctrl-C ends them without a traceback, from their imports on."""

import importlib
import os
import signal
import sys
from types import FrameType

from local.interrupts import handle, interrupt

_INTERRUPTED = 130


def main() -> int:
    """Run the command that the first argument names; returns the exit code."""
    _, name, *arguments = sys.argv
    handle(_leave)
    command = importlib.import_module(f"local.{name}")
    try:
        handle(interrupt)
        return int(command.main(arguments))
    except KeyboardInterrupt:
        return _INTERRUPTED
    finally:
        handle(signal.SIG_IGN)  # what is left to do at exit is bounded


def _leave(_number: int, _frame: FrameType | None) -> None:
    """End at once: an exception may get lost in an import, and there is nothing to stop yet."""
    os._exit(_INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
