"""Protects the program from errors in tracing."""

from __future__ import annotations

import logging
from contextlib import suppress
from types import TracebackType

_log = logging.getLogger(__name__)

_logged: set[tuple[str, type[Exception]]] = set()


class Guard:
    """`with guard:` lets the program go on after an error in the block, and logs the first of its kind.

    Other exceptions, such as KeyboardInterrupt, pass through. A guard has no state: any thread can enter it, any number
    of times.

    Args:
        consequence: The effect of the error, with which the log line begins.
    """

    __slots__ = ("_consequence",)

    def __init__(self, consequence: str) -> None:
        self._consequence = consequence

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(
        self, exc_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        kind = self._consequence, type(error)
        if kind not in _logged:
            _logged.add(kind)
            name = type(error).__qualname__
            line = "%s: %s: %s; a further %s is not logged"
            log(_log, logging.ERROR, line, self._consequence, name, words_of(error), name, exc_info=error)
        return True


def log(logger: logging.Logger, level: int, line: str, *values: object, exc_info: BaseException | None = None) -> None:
    """Log a line; a log handler that raises must not cost the program a message."""
    with suppress(Exception):
        logger.log(level, line, *values, exc_info=exc_info)


def words_of(error: BaseException) -> str:
    """The text of an error, if it has one."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - it must not replace the first error
        return "cannot be printed"
