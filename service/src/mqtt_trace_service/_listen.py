"""A listening socket, or an error that names the wrong setting."""

import errno
import os
import socket

from mqtt_trace._errors import ConfigurationError
from mqtt_trace_service._address import host_and_port, without_brackets

EVERYWHERE = "::"
"""All IPv6 and IPv4 addresses of the machine, or IPv4 alone where the kernel has no IPv6."""

_BACKLOG = 2048
_EVERYWHERE_IPV4 = "0.0.0.0"  # noqa: S104 - what EVERYWHERE is without IPv6
_WITHOUT_IPV6 = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})
_WRONG_HOST = _WITHOUT_IPV6 | {errno.EINVAL}  # EINVAL: a link-local address without its interface


def listen(host: str, port: int, *, prefix: str) -> socket.socket:
    """A TCP socket that listens on `host` and `port`.

    Args:
        host: The value of `<prefix>_HOST`: `EVERYWHERE`, an address, which is used unchanged (`0.0.0.0` is IPv4 only),
            or a name, whose IPv4 addresses are preferred.
        port: The value of `<prefix>_PORT`; 0 picks a free one.
        prefix: Prefix of the names of the two settings.

    Raises:
        mqtt_trace.ConfigurationError: The address is not usable; names the wrong setting.
    """
    host = without_brackets(host)
    try:
        return _listening(host, port)
    except (OSError, UnicodeError) as error:  # UnicodeError: a name that is invalid in DNS
        raise ConfigurationError(
            variable=f"{prefix}_HOST" if _is_wrong_host(error) else f"{prefix}_PORT",
            problem=f"cannot listen on {host_and_port(host, port)}: {_reason(error)}",
        ) from error


def _listening(host: str, port: int) -> socket.socket:
    try:
        return _bound(host, port)
    except OSError as error:
        if host != EVERYWHERE or error.errno not in _WITHOUT_IPV6:
            raise
    return _bound(_EVERYWHERE_IPV4, port)


def _bound(host: str, port: int) -> socket.socket:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, *_, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    # Not socket.create_server, which does not set the protocol: asyncio then leaves Nagle's algorithm on, and every
    # answer waits 40 ms for a delayed ACK.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if host == EVERYWHERE:  # independent of the machine's net.ipv6.bindv6only
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except BaseException:
        listening.close()
        raise
    return listening


def _is_wrong_host(error: OSError | UnicodeError) -> bool:
    return isinstance(error, socket.gaierror | UnicodeError) or error.errno in _WRONG_HOST


def _reason(error: OSError | UnicodeError) -> str:
    if isinstance(error, UnicodeError):
        return "not a valid host name"
    if isinstance(error, socket.gaierror) or error.errno is None:
        return error.strerror or str(error)
    return os.strerror(error.errno)
