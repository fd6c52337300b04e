"""Watches the fleet file and the sensors' credentials, and keeps the fleet at what they say."""

import asyncio
import logging
from pathlib import Path

from mqtt_trace import ConfigurationError
from mqtt_trace_producer.file_descriptors import raise_limit_for
from mqtt_trace_producer.fleet import Fleet
from mqtt_trace_producer.fleet_file import FleetFile, parse_fleet_file
from mqtt_trace_producer.scenario_follower import ScenarioFollower

_logger = logging.getLogger(__name__)

Version = tuple[int, ...] | None
"""Identifies one version of a file; None when the file does not exist."""


class FleetFileWatcher:
    """Watches a fleet file.

    Args:
        path: Path of the file. Kubernetes replaces the file by changing a symbolic link, which changes the inode, too.
        pod_index: Index of this pod in the fleet, from 0.
        credentials: Folder with credentials of the sensors' own, None if they have none.

    Attributes:
        file: The last valid content.

    Raises:
        ConfigurationError: The file cannot be read or is not valid.
    """

    def __init__(self, path: Path, pod_index: int, credentials: Path | None = None) -> None:
        self._path = path
        self._pod_index = pod_index
        # Kubernetes replaces all files at once by changing this link.
        self._credentials = credentials / "..data" if credentials else None
        self._version = _version(path)
        self.file = self._read()

    async def follow(self, fleet: Fleet) -> None:
        """Apply the file, its scenario, and each new version, and let sensors use new credentials at once.

        An invalid version of the file is logged and changes nothing.
        """
        follower = ScenarioFollower(fleet, self._pod_index)
        follower.apply(self.file)
        known = self._credentials_version()
        while True:
            await asyncio.sleep(follower.step())
            if (found := self._credentials_version()) != known:
                known = found
                fleet.retry()
            version = _version(self._path)
            if version == self._version:
                continue
            self._version = version
            try:
                self.file = self._read()
            except ConfigurationError as error:
                _logger.error("fleet file %s; generation %d stays in effect", error.problem, self.file.generation)  # noqa: TRY400 - a traceback adds nothing
            else:
                follower.apply(self.file)

    def _credentials_version(self) -> Version:
        return _version(self._credentials) if self._credentials is not None else None

    def _read(self) -> FleetFile:
        try:
            file = parse_fleet_file(self._path.read_bytes())
            raise_limit_for(file.max_sensors(self._pod_index), "FLEET_FILE")
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
