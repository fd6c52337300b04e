"""A listening socket, or one line that names the wrong setting."""

import errno
import os
import socket

from mqtt_trace._errors import ConfigurationError

_BACKLOG = 2048


def listen(host: str, port: int, *, prefix: str) -> socket.socket:
    """A TCP socket that listens on `host`, an IPv4 or IPv6 address or a name, and `port`; 0 takes a free one.

    Args:
        host: The value of `<prefix>_HOST`.
        port: The value of `<prefix>_PORT`.
        prefix: How the names of the two settings begin.

    Raises:
        mqtt_trace.ConfigurationError: The address cannot be listened on; names the setting that is to blame.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Not socket.create_server, which leaves the protocol open: asyncio then does not turn off Nagle's algorithm for the
    # connections, and every answer waits 40 ms for a delayed ACK.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        unknown_host = isinstance(error, socket.gaierror)
        reason = error.strerror if unknown_host or error.errno is None else os.strerror(error.errno)
        wrong_host = unknown_host or error.errno == errno.EADDRNOTAVAIL
        raise ConfigurationError(
            variable=f"{prefix}_HOST" if wrong_host else f"{prefix}_PORT",
            problem=f"cannot listen on {host}:{port}: {reason}",
        ) from error
    return listening
