"""Answers of a slow echo."""

from __future__ import annotations

import json
import threading
import time

from images.consumer.tests.harness import OK, Answer


def slowly(_: bytes) -> Answer:
    """Answer after a while, so that a backlog builds up."""
    time.sleep(0.02)
    return OK


class Hold:
    """An answer that waits until the test releases it."""

    def __init__(self, *, only: str | None = None, status: int = 200) -> None:
        self.released = threading.Event()
        self.held = 0
        self._only = only
        self._status = status

    def __call__(self, payload: bytes) -> Answer:
        """Answer, later."""
        if self._only is None or json.loads(payload)["message_id"] == self._only:
            self.held += 1
            assert self.released.wait(60)
        return self._status, {}
