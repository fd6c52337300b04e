"""Blocks that Ctrl-C cannot interrupt, and the check for a terminal."""

import signal
import sys
import threading

import pytest

from local.interrupts import held_back
from local.terminal import in_terminal


def test_an_interrupt_waits_for_the_end_of_the_block() -> None:
    """The block runs to its end before Ctrl-C interrupts."""
    done = []

    def work() -> None:
        with held_back():
            signal.raise_signal(signal.SIGINT)
            done.append("all of it")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["all of it"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_threads_need_not_hold_anything_back() -> None:
    """In another thread the block changes no signal handler, which only the main thread may do."""
    done = []

    def work() -> None:
        with held_back():
            done.append("all of it")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == ["all of it"]


@pytest.mark.parametrize("stream", ["stdin", "stdout"])
def test_a_closed_stream_is_no_terminal(stream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that the shell has closed, which is None in Python, is not a terminal."""
    monkeypatch.setattr(sys, stream, None)
    assert not in_terminal()
