"""Ends the process groups that its parent leaves behind, however the parent ended (SIGKILL included).

It runs as a process of its own, reads `+<pgid>` and `-<pgid>` lines, and acts when its input closes.
"""

import os
import signal
import sys
import time
from collections.abc import Iterable

GRACE_S = 5.0


def main() -> None:
    """Follow the lines on standard input, then end the remaining groups."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    end(left_behind(sys.stdin))


def left_behind(lines: Iterable[str]) -> set[int]:
    """Return the groups that were added and not removed."""
    groups: set[int] = set()
    for line in lines:
        group = int(line[1:])
        if line.startswith("+"):
            groups.add(group)
        else:
            groups.discard(group)
    return groups


def end(groups: set[int]) -> None:
    """Send SIGTERM, and SIGKILL to the groups that exist after `GRACE_S` seconds."""
    alive = {group for group in groups if _signal(group, signal.SIGTERM)}
    deadline = time.monotonic() + GRACE_S
    while alive and time.monotonic() < deadline:
        time.sleep(0.05)
        alive = {group for group in alive if _signal(group, 0)}
    for group in alive:
        _signal(group, signal.SIGKILL)


def _signal(group: int, number: int) -> bool:
    """Return whether the group existed."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


if __name__ == "__main__":
    main()
