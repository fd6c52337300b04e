"""Whether the command runs in a terminal."""

import sys


def in_terminal() -> bool:
    """Return whether input and output are a terminal; Python has None for a closed one (`<&-`)."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))
