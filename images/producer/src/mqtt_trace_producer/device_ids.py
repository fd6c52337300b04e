"""The ids of a fleet's devices."""

import re

_NUMBERED = re.compile(r"(?P<name>.*?)(?P<number>[0-9]+)", re.ASCII)


def ends_in_number(first: str) -> bool:
    """Whether an id ends in a number, so that further ids can be made from it."""
    return _NUMBERED.fullmatch(first) is not None


def make_device_ids(first: str, count: int) -> list[str]:
    """Return `count` ids that count up from the number at the end of `first`, padded to the same width.

    Raises:
        ValueError: `count` is more than one, and `first` does not end in a number.
    """
    numbered = _NUMBERED.fullmatch(first)
    if numbered is None:
        if count > 1:
            raise ValueError(f"{first!r} does not end in a number")
        return [first][:count]
    name, number = numbered["name"], numbered["number"]
    return [f"{name}{int(number) + offset:0{len(number)}d}" for offset in range(count)]
