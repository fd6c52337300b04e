"""Ctrl-C, SIGTERM and a closed terminal end a command in the same way, and never in the middle of a step."""

import importlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Handler = Callable[[int, FrameType | None], object] | signal.Handlers

_INTERRUPTED = 130


def run(module: str, *arguments: object) -> int:
    """Import a module and call its `main`; a signal ends both without a traceback.

    Returns:
        Its exit code.
    """
    handle(_leave)
    command = importlib.import_module(module)
    try:
        handle(interrupt)
        return int(command.main(*arguments) or 0)
    except KeyboardInterrupt:
        return _INTERRUPTED
    finally:
        handle(signal.SIG_IGN)  # the remaining work at exit is bounded


def handle(handler: Handler) -> None:
    """Set the handler of all signals except ignored ones: nohup and shells start processes with those."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def interrupt(number: int, _frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt for any of the signals."""
    if number == signal.SIGHUP:
        # The terminal is gone: further output would raise while the command stops.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
    raise KeyboardInterrupt


@contextmanager
def held_back() -> Iterator[None]:
    """Delay an interrupt until the block has ended."""
    if threading.current_thread() is not threading.main_thread():  # signals interrupt only the main thread
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


def _leave(_number: int, _frame: FrameType | None) -> None:
    """End at once: an import may swallow an exception, and nothing needs to be stopped yet."""
    os._exit(_INTERRUPTED)
