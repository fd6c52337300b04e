"""A listening socket, or one line that names the wrong setting."""

import errno
import socket

from scout_sim.settings import PREFIX


class AddressError(Exception):
    """An address that cannot be listened on; the text names the setting that is to blame."""


def listen(host: str, port: int) -> socket.socket:
    """A TCP socket that listens on `host`, an IPv4 or IPv6 address or a name, and `port`.

    Raises:
        AddressError: The address cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Not socket.create_server, which leaves the protocol open: asyncio then does not turn off Nagle's algorithm for the
    # connections, and an answer may wait 40 ms for a delayed ACK.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen()
    except OSError as error:
        listening.close()
        wrong_host = isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL
        variable = f"{PREFIX}{'HOST' if wrong_host else 'PORT'}"
        raise AddressError(f"{variable}: cannot listen on {host}:{port}: {error.strerror}") from error
    return listening
