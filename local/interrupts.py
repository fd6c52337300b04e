"""Ctrl-C, SIGTERM and a closed terminal: they end a command in the same way, and never in the middle of a step."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Handler = Callable[[int, FrameType | None], object] | signal.Handlers


def handle(handler: Handler) -> None:
    """Set the handler of all of them but those that are ignored, which is how nohup and shells start a process."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def interrupt(number: int, _frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, whichever of them it was."""
    if number == signal.SIGHUP:
        # The terminal is gone: what is still printed would be an error in the midst of stopping.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
    raise KeyboardInterrupt


@contextmanager
def held_back() -> Iterator[None]:
    """Let what is interrupted by an exception be interrupted when the block has ended, and not before."""
    if threading.current_thread() is not threading.main_thread():  # only the main one is ever interrupted
        yield
        return
    held: list[int] = []
    before = {number: handler for number in SIGNALS if callable(handler := signal.getsignal(number))}
    try:
        for number in before:
            signal.signal(number, lambda number, _: held.append(number))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if held:
            signal.raise_signal(held[0])
