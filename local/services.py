"""The services of the stack as processes, and what they inherit of the user's shell."""

import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

from local.processes import Process, answers_http

# A user's shell may set these for other programs; here they would send telemetry elsewhere, change the simulation, or
# keep a service from starting.
_NOT_INHERITED = (
    "OTEL_",
    "COLLECTOR_",
    "DEAD_LETTER_",
    "DEVICE_",
    "DRAIN_",
    "ECHO_",
    "FLEET_",
    "HEALTH_",
    "LOG_LEVEL",
    "MQTT_",
    "PUBLISH_",
    "RECEIVE_",
    "RESULTS_",
    "SCOUT_",
    "SITE_",
)

Env = dict[str, str]


class Service(Process):
    """A process of the stack."""

    def __init__(self, name: str, command: Sequence[str], *, log: Path, env: Env, ready_url: str) -> None:
        super().__init__(name, command, log=log, env=env)
        self._ready = answers_http(ready_url)

    def start(self) -> None:
        """Start it and return when it is ready."""
        super().start()
        self.wait_until(self._ready, timeout_s=60)


def inherited(environ: Mapping[str, str]) -> Env:
    """Return the shell's variables for the parts; services also read settings in lower case."""
    return {name: value for name, value in environ.items() if not name.upper().startswith(_NOT_INHERITED)}


def script(name: str) -> str:
    """Return the path of a command of this environment, whether or not its folder is on PATH."""
    return str(Path(sysconfig.get_path("scripts")) / name)
