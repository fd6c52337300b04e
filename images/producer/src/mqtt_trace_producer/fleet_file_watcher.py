"""Keeps a fleet as its fleet file says while the file changes."""

import asyncio
import logging
from pathlib import Path

from mqtt_trace import ConfigurationError
from mqtt_trace_producer.file_descriptors import raise_limit_for
from mqtt_trace_producer.fleet import Fleet
from mqtt_trace_producer.fleet_file import FleetFile, parse_fleet_file

_logger = logging.getLogger(__name__)

_POLL_S = 0.5

Version = tuple[int, ...] | None
"""What tells one version of a file from the next, None when there is no file."""


class FleetFileWatcher:
    """A fleet file, and the fleet that does what it says.

    Args:
        path: The file. Kubernetes replaces it by turning a symbolic link, so its inode changes, too.
        pod_index: Which pod of the fleet this is, from 0.

    Attributes:
        file: What was in it last and could be used.

    Raises:
        ConfigurationError: It cannot be read or used.
    """

    def __init__(self, path: Path, pod_index: int) -> None:
        self._path = path
        self._pod_index = pod_index
        self._version = _version(path)
        self.file = self._read()

    def apply(self, fleet: Fleet) -> None:
        """Let the fleet become what the file says."""
        specs = self.file.specs_for_pod(self._pod_index)
        fleet.reconcile(specs, self.file.generation)
        _logger.info(
            "fleet %s: generation %d applied, %d of its %d sensors are here",
            self.file.fleet,
            self.file.generation,
            len(specs),
            self.file.replicas,
        )

    async def watch(self, fleet: Fleet) -> None:
        """Apply each new version of the file; one that cannot be used is one log line, and changes nothing."""
        while True:
            await asyncio.sleep(_POLL_S)
            version = _version(self._path)
            if version == self._version:
                continue
            self._version = version
            try:
                self.file = self._read()
            except ConfigurationError as error:
                _logger.error("fleet file %s; generation %d stays", error.problem, self.file.generation)  # noqa: TRY400 - the line says it all
            else:
                self.apply(fleet)

    def _read(self) -> FleetFile:
        try:
            file = parse_fleet_file(self._path.read_bytes())
            raise_limit_for(len(file.specs_for_pod(self._pod_index)), "FLEET_FILE")
        except OSError as error:
            problem = f"cannot be read: {error.strerror or error}"
        except ConfigurationError as error:
            problem = error.problem
        else:
            return file
        raise ConfigurationError(variable="FLEET_FILE", problem=f"{self._path}: {problem}")


def _version(path: Path) -> Version:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size
