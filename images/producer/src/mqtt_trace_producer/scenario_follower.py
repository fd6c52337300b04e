"""Keeps a fleet at what its fleet file says for this moment: the settings of the file, or of its scenario's phase."""

import logging
import random
import time
from dataclasses import replace

from mqtt_trace_service.scenario import Moment, Settings

from mqtt_trace_producer.fleet import Fleet
from mqtt_trace_producer.fleet_file import FleetFile

_logger = logging.getLogger(__name__)

_STEP_S = 0.5
"""Between two steps of a ramp or of churn."""

_MIN_STEP_S = 0.05

_PERCENT_PER_MINUTE = 1 / 6000.0


class ScenarioFollower:
    """Applies fleet files to a fleet, and follows the scenario of the last one.

    Args:
        fleet: The fleet.
        pod_index: Index of this pod in the fleet, from 0.
    """

    def __init__(self, fleet: Fleet, pod_index: int) -> None:
        self._fleet = fleet
        self._pod_index = pod_index
        self._file: FleetFile | None = None
        self._settings: Settings | None = None
        self._moment: Moment | None = None
        self._stepped_at = time.monotonic()
        # Random, or the pods of a large fleet would reconnect their sensors in the same moments.
        self._to_reconnect = random.random()  # noqa: S311 - spreads load

    def apply(self, file: FleetFile) -> None:
        """Apply another fleet file."""
        self._file, self._settings = file, None
        if file.scenario is None:
            self._fleet.forget_scenario()
        else:
            fleet_id = f"{file.namespace}.{file.fleet}"
            self._fleet.follow_scenario(fleet_id, self._pod_index, file.scenario.started_at)
        self.step()
        replicas = file.at(time.time()).settings.replicas
        _logger.info(
            "fleet %s: generation %d applied, %d of its %d sensors are in this pod",
            file.fleet,
            file.generation,
            file.count_sensors(self._pod_index, replicas),
            replicas,
        )

    def step(self) -> float:
        """Apply what is in effect now.

        Returns:
            Seconds until the next step, at most half a second.
        """
        file, now = self._file, time.time()
        if file is None:
            return _STEP_S
        former, self._moment = self._moment, file.at(now)
        self._fleet.phase = None if self._moment.place is None else self._moment.index
        self._reconcile(file, self._moment)
        # A process that has just started connects its devices in any case.
        if former is not None and former.place != self._moment.place:
            self._begin(file, self._moment)
        self._churn(self._moment.settings.churn)
        return min(_STEP_S, max(_MIN_STEP_S, file.seconds_left(now)))

    def _reconcile(self, file: FleetFile, moment: Moment) -> None:
        # A ramp elsewhere in the fleet is nothing to this pod.
        settings = replace(
            moment.settings, replicas=file.count_sensors(self._pod_index, moment.settings.replicas), churn=0
        )
        if settings != self._settings:
            self._settings = settings
            started_at = None if file.scenario is None else file.scenario.started_at
            self._fleet.reconcile(file.specs_for_pod(self._pod_index, moment.settings), file.generation, started_at)

    def _begin(self, file: FleetFile, moment: Moment) -> None:
        if moment.complete:
            _logger.info("fleet %s: the scenario is complete", file.fleet)
        elif moment.phase is not None:
            _logger.info("fleet %s: phase %s begins", file.fleet, moment.phase.name)
            if moment.phase.storm:
                self._fleet.storm()

    def _churn(self, percent: int) -> None:
        """Reconnect that percentage of the devices per minute."""
        now = time.monotonic()
        self._to_reconnect += self._fleet.size * percent * _PERCENT_PER_MINUTE * (now - self._stepped_at)
        self._stepped_at = now
        whole = int(self._to_reconnect)
        self._to_reconnect -= whole
        self._fleet.churn(whole)
