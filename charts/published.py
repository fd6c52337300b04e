"""What distinguishes the published chart from the one in the repository: the registry of this project's own images.

`python3 -m charts.published ghcr.io/mqtt-trace` writes it into values.yaml. It needs nothing but Python.
"""

import re
import sys
from pathlib import Path

REGISTRY = "ghcr.io/mqtt-trace"

_VALUES = Path(__file__).parent / "mqtt-trace" / "values.yaml"
_OWN_REGISTRY = re.compile(r'( repository: mqtt-trace-\S+\n(?: +#.*\n)* +registry: )""')


def with_registry(values: str, registry: str) -> str:
    """The values of a chart that takes this project's images from a registry."""
    return _OWN_REGISTRY.sub(rf"\g<1>{registry}", values)


if __name__ == "__main__":
    _VALUES.write_text(with_registry(_VALUES.read_text(), sys.argv[1]))
