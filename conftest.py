"""Fixtures for every test of the repository: real brokers, and the whole stack."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from local.mosquitto import Mosquitto


@pytest.fixture(scope="session")
def broker() -> Iterator[Mosquitto]:
    """One anonymous Mosquitto for the whole session: use topics and client ids of your own, do not stop it."""
    with Mosquitto() as running:
        yield running


@pytest.fixture
def make_broker() -> Iterator[Callable[..., Mosquitto]]:
    """Start brokers of the test's own with the arguments of `Mosquitto`; they end with the test."""
    with ExitStack() as brokers:
        yield lambda **options: brokers.enter_context(Mosquitto(**options))
