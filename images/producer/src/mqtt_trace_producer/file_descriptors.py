"""The limit of file descriptors, of which each device's connection needs one."""

import resource

from mqtt_trace import ConfigurationError

_OTHER_DESCRIPTORS = 64
"""Descriptors of exporters, health probes, the event loop and the interpreter."""

_WHEN_UNLIMITED = 10_240
"""The most that macOS grants when the hard limit is unlimited (OPEN_MAX)."""


def raise_limit_for(devices: int, variable: str) -> None:
    """Raise the descriptor limit of this process to the hard limit.

    Args:
        devices: Number of devices that must fit.
        variable: Environment variable that sets this number.

    Raises:
        ConfigurationError: The hard limit is too low for these devices.
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
