"""How times are written in a fleet's status and in sentences."""

from datetime import UTC, datetime


def write_duration(seconds: float) -> str:
    """A duration with three significant digits, in milliseconds or, from one second on, in seconds."""
    number, unit = (seconds, "s") if abs(seconds) >= 1 else (seconds * 1000, "ms")
    if abs(number) < 0.001:  # noqa: PLR2004 - a microsecond, less than any clock here can tell
        return f"0{unit}"
    return f"{number:.0f}{unit}" if abs(number) >= 100 else f"{number:.3g}{unit}"  # noqa: PLR2004 - three digits


def write_timestamp(seconds: float) -> str:
    """Seconds since the epoch as an RFC 3339 time, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
