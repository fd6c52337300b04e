"""Fixtures for every test of the repository: real brokers, and the whole stack."""

import signal
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack

import pytest
from hypothesis import HealthCheck, settings

from local.mosquitto import Mosquitto
from local.stack import Stack

# A busy machine is no reason to fail, and what passes once passes again.
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
settings.load_profile("steady")
# For `--hypothesis-profile=explore`: other examples each time and many more, and how to have the failing one again.
settings.register_profile(
    "explore", settings.get_profile("steady"), derandomize=False, max_examples=2000, print_blob=True
)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Generator[None, None, None]:
    """End with what was skipped, why and how often: a line for each reason."""
    yield
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in terminalreporter.getreports("skipped"))
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"skipped {count}: {reason}")


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """Reset SIGINT: commands inherit an ignored signal, as shells set it for background processes."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


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


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole stack with two sensors, for the whole session: read from it, stop or restart nothing."""
    with Stack(devices=2, interval_s=1.0, folder=tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture
def make_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Stack]]:
    """Start stacks of the test's own with the arguments of `Stack`; they end with the test."""
    with ExitStack() as stacks:
        yield lambda **options: stacks.enter_context(Stack(folder=tmp_path_factory.mktemp("stack"), **options))
