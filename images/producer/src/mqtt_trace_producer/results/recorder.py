"""Numbers readings and records what becomes of them, while the fleet has a scenario."""

import asyncio
import json
import logging
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from mqtt_trace._receipts import SEQUENCE
from mqtt_trace_producer.device_spec import DeviceSpec
from mqtt_trace_producer.results.ledger import Ledger, Phase, Sent
from mqtt_trace_producer.results.receipt import Receipt
from mqtt_trace_producer.results.sequence import Sequence
from mqtt_trace_producer.results.state import Writer, read_ledger

_PAUSE_S = 0.05
_PAUSES_PER_SAVE = 30
"""Saving takes at most a thirtieth of the time."""

_logger = logging.getLogger(__name__)


class Numbered(Protocol):
    """A reading on its way."""

    sequence: Sequence | None
    sent_at: float
    trace_id: str


class Results:
    """The results of the devices of this process.

    Args:
        phase: Returns the index of the current phase; None before the first and after the last.
        file: Keeps the results over restarts of the container; None if nothing does.
    """

    def __init__(self, phase: Callable[[], int | None], file: Path | None = None) -> None:
        self._phase = phase
        self._file = file
        self._started_at: float | None = None
        self._ledger: Ledger | None = None
        self._since = 0.0
        self._epoch = ""
        self._response_topic = ""
        self._taken: dict[int, int] = {}
        self._on_their_way = 0
        self._writer = Writer()
        self._changed: set[int] = set()
        self._unsaved = asyncio.Event()
        self._unacknowledged: list[Callable[[], None]] = []
        self._draining = False
        self._read_when_drained = asyncio.Event()
        self._save_failed = False

    def follow(self, started_at: float | None, response_topic: str) -> bool:
        """Number the readings of a scenario; one that starts at another time begins with new results.

        Args:
            started_at: When it starts, in seconds since the epoch; None if that is not known yet.
            response_topic: Where consumers publish receipts.

        Returns:
            Whether it replaces results.
        """
        self._response_topic = response_topic
        if started_at == self._started_at:
            return False
        replaces = self._ledger is not None
        self.end()
        if started_at is None:
            return replaces
        self._started_at = started_at
        self._epoch = secrets.token_hex(4)
        self._since = max(time.time(), started_at)
        self._ledger = self._restore(started_at) or Ledger(self._epoch)
        self._changed = set(self._ledger.phases)
        self._unsaved.set()
        return replaces

    def end(self) -> None:
        """Number no more readings, and forget the results."""
        self._started_at = self._ledger = None
        self._taken = {}
        self._on_their_way = 0
        self._writer = Writer()
        self._changed = set()

    def number(self, spec: DeviceSpec) -> Sequence | None:
        """Number the next reading of a device; None outside the phases of a scenario."""
        phase = self._phase()
        if self._ledger is None or phase is None:
            return None
        self._on_their_way += 1
        number = 0
        if spec.protocol is MQTTProtocolVersion.MQTTv5:
            number = self._taken[spec.number] = self._taken.get(spec.number, 0) + 1
        return Sequence(self._epoch, phase, spec.number, number)

    def properties(self, sequence: Sequence | None) -> Properties | None:
        """Return the PUBLISH properties of a numbered reading."""
        if sequence is None or not sequence.number:
            return None
        properties = Properties(PacketTypes.PUBLISH)
        properties.UserProperty = (SEQUENCE, str(sequence))
        properties.ResponseTopic = self._response_topic
        return properties

    def acknowledged(self, reading: Numbered, *, by_broker: bool = True) -> None:
        """Record that a reading is published: that the broker acknowledged it, or that it has QoS 0."""
        phase = self._phase_of(reading)
        if phase is not None and reading.sequence is not None:
            puback_s = time.time() - reading.sent_at if by_broker else None
            phase.acknowledge(reading.sequence, Sent(reading.sent_at, reading.trace_id), puback_s)

    def refused(self, reading: Numbered, reason_code: int) -> None:
        """Record that the broker refused a reading."""
        phase = self._phase_of(reading)
        if phase is not None:
            phase.refused[f"0x{reason_code:02x}"] += 1

    def dropped(self, reading: Numbered) -> None:
        """Record that a reading was given up."""
        phase = self._phase_of(reading)
        if phase is not None:
            phase.dropped += 1

    def receive(self, receipt: Receipt, acknowledge: Callable[[], None], *, redelivered: bool) -> None:
        """Record a receipt, and acknowledge it once it is saved."""
        if self._ledger is not None:
            self._ledger.receive(receipt, time.time(), redelivered=redelivered)
            indexes = {reading.sequence.phase for reading in receipt.readings}
            self._changed |= indexes & self._ledger.phases.keys()
        self._unacknowledged.append(acknowledge)
        self._unsaved.set()

    def document(self, connected_within: float) -> dict[str, Any] | None:
        """Return the answer of `GET /results`; None without a scenario.

        Args:
            connected_within: Seconds within which the sensors connected.
        """
        ledger = self._ledger
        if ledger is None:
            return None
        is_over = self._draining or (self._phase() is None and time.time() > self._since)
        drained = is_over and not self._on_their_way and not self.waiting
        if drained and self._draining:
            self._read_when_drained.set()
        return {
            # Of the first process: it identifies figures that a restart of the container continues.
            "epoch": ledger.epochs[0],
            "since": self._since,
            "phases": [{"index": index, **ledger.phases[index].figures()} for index in sorted(ledger.phases)],
            "clock_skew": ledger.clocks.skews(),
            "connected_within": round(connected_within, 3),
            "drained": drained,
        }

    @property
    def waiting(self) -> int:
        """Number of published readings without a receipt."""
        return 0 if self._ledger is None else self._ledger.waiting

    async def finish(self, timeout: float) -> None:  # noqa: ASYNC109 - its end is no error
        """Return when every numbered reading has its receipt and the results were read after that, or in time."""
        self._draining = True
        if self._ledger is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._read_when_drained.wait()

    async def keep(self) -> None:
        """Save each change and acknowledge the receipts that are saved, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._unsaved.wait()
            self._unsaved.clear()
            started = loop.time()
            self._save()
            unacknowledged, self._unacknowledged = self._unacknowledged, []
            for acknowledge in unacknowledged:
                acknowledge()
            await asyncio.sleep(max(_PAUSE_S, _PAUSES_PER_SAVE * (loop.time() - started)))

    def connection_lost(self) -> None:
        """Forget the receipts that are not acknowledged: the broker delivers them again."""
        self._unacknowledged.clear()

    def _phase_of(self, reading: Numbered) -> Phase | None:
        """The phase to record the end of a reading's way in; None for a reading without a number of this run."""
        sequence, ledger = reading.sequence, self._ledger
        if ledger is None or sequence is None or sequence.epoch != self._epoch:
            return None
        self._on_their_way -= 1
        self._changed.add(sequence.phase)
        self._unsaved.set()
        return ledger.phase(sequence.phase)

    def _save(self) -> None:
        if self._file is None or self._ledger is None:
            return
        changed, self._changed = self._changed, set()
        text = self._writer.write(self._ledger, changed, started_at=self._started_at, since=self._since)
        unfinished = self._file.with_suffix(".new")
        try:
            unfinished.write_text(text)
            unfinished.replace(self._file)
        except OSError as error:
            if not self._save_failed:
                _logger.error("results cannot be saved, so a restart of the container loses them: %s", error)  # noqa: TRY400 - a traceback adds nothing
            self._save_failed = True

    def _restore(self, started_at: float) -> Ledger | None:
        """Return the ledger of an earlier process, if it is of the same start."""
        if self._file is None or not self._file.exists():
            return None
        try:
            document = json.loads(self._file.read_text())
            if document["started_at"] != started_at:
                return None
            ledger = read_ledger(document)
            self._since = float(document["since"])
        except (OSError, KeyError, TypeError, ValueError) as error:
            _logger.error("results of the container's earlier start cannot be read: %s: %r", self._file, error)  # noqa: TRY400 - a traceback adds nothing
            return None
        ledger.epochs.append(self._epoch)
        return ledger
