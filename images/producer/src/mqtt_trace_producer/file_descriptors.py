"""File descriptors: each device's connection needs one."""

import resource

from mqtt_trace import ConfigurationError

_OTHER_DESCRIPTORS = 64
"""Exporters, health probes, the loop and the interpreter."""

_WHEN_UNLIMITED = 10_240
"""What macOS grants a process that asks for as many as it likes (OPEN_MAX)."""


def raise_limit_for(devices: int, variable: str) -> None:
    """Raise the descriptor limit of this process to what the system allows.

    Args:
        devices: How many are to fit.
        variable: The environment variable that asks for them.

    Raises:
        ConfigurationError: That is not enough for so many devices.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = hard if hard != resource.RLIM_INFINITY else max(soft, _WHEN_UNLIMITED)
    room = limit - _OTHER_DESCRIPTORS
    if devices > room:
        raise ConfigurationError(
            variable=variable,
            problem=f"{max(room, 0)} devices fit into the limit of {limit} file descriptors (got {devices})",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
