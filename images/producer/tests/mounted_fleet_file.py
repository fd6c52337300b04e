"""A fleet file, mounted as the kubelet mounts it."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

FLEET: dict[str, object] = {
    "generation": 0,
    "fleet": "demo",
    "namespace": "iot",
    "replicas": 3,
    "sensorsPerPod": 100,
    "intervalSeconds": 0.1,
    "qos": 1,
    "topicTemplate": "sensors/{device_id}/reading",
    "tenant": "acme",
    "site": "site-hq",
    "priority": "normal",
    "firmware": "1.4.2",
    "battery": 100,
    "faults": {"missingContext": 0, "malformedContext": 0, "mqtt311": 0},
}


class MountedFleetFile:
    """A folder in which `fleet.json` links to a file through a second link, which is replaced to change the content.

    Attributes:
        path: Path of `fleet.json`.
    """

    def __init__(self, folder: Path, **members: object) -> None:
        self._folder = folder
        self._numbers = itertools.count()
        self._generations = itertools.count(1)
        self._members = {**FLEET, **members}
        self.path = folder / "fleet.json"
        self.write()
        self.path.symlink_to(Path("..data", "fleet.json"))

    def write(self, **changes: object) -> None:
        """Change members and increment the generation."""
        self._members = {**self._members, "generation": next(self._generations), **changes}
        self.write_text(json.dumps(self._members))

    def write_text(self, text: str) -> None:
        """Replace the content by any text, atomically."""
        number = next(self._numbers)
        version = self._folder / f"..{number}"
        version.mkdir()
        (version / "fleet.json").write_text(text)
        link = self._folder / f"..link-{number}"
        link.symlink_to(version.name)
        link.rename(self._folder / "..data")
