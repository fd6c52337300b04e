"""`python -m local demo` and `python -m local up`."""

import sys

from local.interrupts import run

if __name__ == "__main__":
    _, name, *arguments = sys.argv
    sys.exit(run(f"local.{name}", arguments))
