"""One asyncio program from its start to its exit code."""

import asyncio
from collections.abc import Callable, Coroutine


def run(main: Callable[[asyncio.Event], Coroutine[None, None, None]], program: str) -> None:
    """Run `main(stop)` until it returns; SIGTERM and SIGINT set `stop`, a second one ends the process at once.

    Returns normally (exit code 0) when `main` does.

    Raises:
        SystemExit: 2 after one line on stderr when `main` raises a `mqtt_trace.ConfigurationError`.
    """
    raise NotImplementedError
