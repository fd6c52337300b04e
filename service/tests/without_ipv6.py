"""Runs a command as if the kernel had no IPv6: `python without_ipv6.py socket|bind COMMAND [ARGUMENT…]`.

A filter of system calls refuses either IPv6 sockets, as a kernel without the protocol does, or IPv6 addresses.
"""

import ctypes
import errno
import os
import platform
import socket
import struct
import sys

SUPPORTED = sys.platform == "linux" and platform.machine() in {"x86_64", "aarch64"}

_NUMBERS = {"x86_64": {"socket": 41, "bind": 49}, "aarch64": {"socket": 198, "bind": 200}}
_REFUSED = {"socket": (0, socket.AF_INET6, errno.EAFNOSUPPORT), "bind": (2, 28, errno.EADDRNOTAVAIL)}
"""By call: the index of an argument, its value (28 is the size of an IPv6 address), and the error."""

_SET_NO_NEW_PRIVS, _SET_SECCOMP, _MODE_FILTER = 38, 22, 2
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def refuse(call: str) -> None:
    """Refuse IPv6 in this call, in this process and those that it becomes.

    Raises:
        OSError: the kernel has no filters.
    """
    argument, value, error = _REFUSED[call]
    instructions = [
        (_LOAD, 0, 0, 0),  # the number of the call
        (_JUMP_IF_EQUAL, 0, 3, _NUMBERS[platform.machine()][call]),
        (_LOAD, 0, 0, 16 + 8 * argument),
        (_JUMP_IF_EQUAL, 0, 1, value),
        (_RETURN, 0, 0, _ERRNO | error),
        (_RETURN, 0, 0, _ALLOW),
    ]
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in instructions)
    program = _Program(len(instructions), code)
    libc = ctypes.CDLL(None, use_errno=True)
    for request in ((_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0)):
        if libc.prctl(*request):
            raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    refuse(sys.argv[1])
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - the command of the test
