"""Settings from the environment, or one line per wrong variable."""

import sys
from collections.abc import Iterator, Mapping
from typing import NoReturn, TypeVar

from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticUndefined
from pydantic_settings import BaseSettings

from mqtt_trace._errors import ConfigurationError

Settings = TypeVar("Settings", bound=BaseSettings)

EXIT_WRONG_SETTING = 2
_LONGEST_SHOWN_VALUE = 80


def load(settings: type[Settings], program: str) -> Settings:
    """Read the settings of `program` from the environment; its only argument is `--help`.

    Raises:
        SystemExit: 2 after one line on stderr per wrong variable or argument, 0 after `--help`.
    """
    _read_arguments(settings, program, sys.argv[1:])
    try:
        return settings()
    except ValidationError as error:
        exit_with(program, *(_problem(details, settings.model_fields) for details in error.errors()))


def exit_with(program: str, *errors: ConfigurationError) -> NoReturn:
    """Print one line per wrong variable and end the process.

    Raises:
        SystemExit: 2, always.
    """
    for error in errors:
        print(f"{program}: {error.variable}: {error.problem}", file=sys.stderr)  # noqa: T201 - there is no log yet
    sys.exit(EXIT_WRONG_SETTING)


def _read_arguments(settings: type[BaseSettings], program: str, arguments: list[str]) -> None:
    if not arguments:
        return
    if set(arguments) <= {"-h", "--help"}:
        print("\n".join(_help(settings, program)))  # noqa: T201 - the answer to --help
        sys.exit(0)
    unexpected = next(argument for argument in arguments if argument not in {"-h", "--help"})
    print(  # noqa: T201 - there is no log yet
        f"{program}: unexpected argument {unexpected!r}: settings are environment variables, --help lists them",
        file=sys.stderr,
    )
    sys.exit(EXIT_WRONG_SETTING)


def _problem(details: ErrorDetails, fields: Mapping[str, FieldInfo]) -> ConfigurationError:
    cause = details.get("ctx", {}).get("error")
    if isinstance(cause, ConfigurationError):  # a check of several fields names the variable itself
        return cause
    name = str(details["loc"][0]) if details["loc"] else "settings"
    if details["type"] == "missing":
        return ConfigurationError(variable=name.upper(), problem="is not set")
    problem = str(cause) if cause is not None else details["msg"][:1].lower() + details["msg"][1:]
    if not _is_secret(fields.get(name)):
        problem += f" (got {_shown(details['input'])})"
    return ConfigurationError(variable=name.upper(), problem=problem)


def _shown(value: object) -> str:
    shown = repr(str(value))
    return shown if len(shown) <= _LONGEST_SHOWN_VALUE else f"{shown[:_LONGEST_SHOWN_VALUE]}…'"


def _is_secret(field: FieldInfo | None) -> bool:
    return field is None or SecretStr.__name__ in str(field.annotation)


def _help(settings: type[BaseSettings], program: str) -> Iterator[str]:
    yield f"usage: {program}"
    yield ""
    yield "Settings are environment variables; an empty one counts as unset. OTEL_* variables work as usual."
    yield ""
    rows = [
        (name.upper(), _default(field), field.description or "")
        for name, field in sorted(settings.model_fields.items())
    ]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for variable, default, description in [("VARIABLE", "DEFAULT", "MEANING"), *rows]:
        yield f"{variable:<{widths[0]}}  {default:<{widths[1]}}  {description}".rstrip()


def _default(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True, validated_data={})
    if default is PydanticUndefined:
        return "(required)"
    if default is None:
        return "(unset)"
    return str(default).lower() if isinstance(default, bool) else str(default)
