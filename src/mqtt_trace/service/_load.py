"""Settings from the environment, or one line per wrong variable."""

from typing import TypeVar

from pydantic_settings import BaseSettings

Settings = TypeVar("Settings", bound=BaseSettings)


def load(settings: type[Settings], program: str) -> Settings:
    """Read the settings of `program` from the environment and its arguments (`--help` only).

    Raises:
        SystemExit: 2 after one line on stderr per wrong variable or argument, 0 after `--help`.
    """
    raise NotImplementedError
