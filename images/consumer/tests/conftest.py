"""Fixtures for the consumer's tests: a running echo, and consumers that end with the test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from images.consumer.tests.harness import Broker, Consumer, Echo


class MakeConsumer(Protocol):
    """Creates a consumer that the test starts, and that ends with the test."""

    def __call__(self, broker: Broker, client_id: str = ..., **env: str) -> Consumer:
        """`env` adds to the settings of `harness.Consumer`."""
        ...


@pytest.fixture
def echo() -> Iterator[Echo]:
    """A running echo that accepts everything."""
    with Echo() as running:
        yield running


@pytest.fixture
def make_consumer(echo: Echo, tmp_path: Path) -> Iterator[MakeConsumer]:
    """Make consumers that post to `echo`."""
    with ExitStack() as consumers:

        def make(broker: Broker, client_id: str = "consumer-0", **env: str) -> Consumer:
            consumer = Consumer(broker, echo.url, tmp_path, client_id, **env)
            consumers.callback(consumer.stop)
            return consumer

        yield make
