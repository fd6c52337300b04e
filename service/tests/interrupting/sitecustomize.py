"""Interrupts a process with this on its PYTHONPATH at its n-th import from outside the standard library.

`INTERRUPT_AFTER` is the module from which on imports count, `INTERRUPT_AT` is n, and `INTERRUPT_WITH` the signal.
"""

import os
import sys
from importlib.abc import MetaPathFinder


class _Interrupter(MetaPathFinder):
    """The first finder, which finds no module itself."""

    def __init__(self) -> None:
        self._counting = False
        self._left = int(os.environ["INTERRUPT_AT"])

    def find_spec(self, fullname: str, _path: object, _target: object = None) -> None:
        """Count."""
        if self._counting and fullname.partition(".")[0] not in sys.stdlib_module_names:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), int(os.environ["INTERRUPT_WITH"]))
        self._counting = self._counting or fullname == os.environ["INTERRUPT_AFTER"]


sys.meta_path.insert(0, _Interrupter())
