"""Fixtures for the producer's tests: processes that stop after the test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from images.producer.tests.producer_harness import Backend, Producer


class StartProducer(Protocol):
    """Starts a producer for a broker on 127.0.0.1."""

    def __call__(self, port: int, **settings: object) -> Producer:
        """Start a producer, and return it once it answers probes."""


@pytest.fixture
def start_producer(tmp_path: Path) -> Iterator[StartProducer]:
    """Start producers, which stop after the test."""
    numbers = itertools.count()
    with ExitStack() as running:

        def start(port: int, **settings: object) -> Producer:
            producer = Producer(tmp_path / f"producer-{next(numbers)}.log", port=port, **settings)
            running.callback(producer.stop)
            producer.start()
            return producer

        yield start


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    """A running scout-sim."""
    running = Backend(tmp_path / "scout-sim.log")
    try:
        running.start()
        yield running
    finally:
        running.stop()
