"""Fixtures for the tests of scout-sim: the real command on a free port."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from scout_harness import ScoutSim


@pytest.fixture(scope="session")
def scout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScoutSim]:
    """A scout-sim without tokens, for the whole session: use trace ids and service names of your own."""
    with ScoutSim(tmp_path_factory.mktemp("scout") / "log", require_token=False) as running:
        yield running


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScoutSim]:
    """A scout-sim with default settings, which require a token, for the whole session."""
    with ScoutSim(tmp_path_factory.mktemp("guarded") / "log") as running:
        yield running


@pytest.fixture
def make_scout(tmp_path: Path) -> Iterator[Callable[..., ScoutSim]]:
    """Start scout-sims with the given settings; they end with the test."""
    with ExitStack() as running:
        yield lambda **settings: running.enter_context(ScoutSim(tmp_path / "log", **settings))
