"""The figures of each phase, exact by the numbers of the readings."""

import heapq
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from mqtt_trace_service.histogram import Histogram

from mqtt_trace_producer.results.clocks import Clocks
from mqtt_trace_producer.results.intervals import Intervals
from mqtt_trace_producer.results.receipt import ConfirmedReading, Receipt
from mqtt_trace_producer.results.sequence import Sequence

_MOST_EXAMPLES = 5
_MOST_WAITING = 2_000
"""Readings of a phase whose trace is kept while they wait for a receipt; the first ones, for the rest is like them."""
_MOST_RECEIPTS = 2_000
"""Ids of receipts that are kept: a broker may deliver unacknowledged ones again, and `receipts` limits their number."""


class Sent(NamedTuple):
    """A published reading that waits for its receipt.

    Attributes:
        at: When it was published, in seconds since the epoch.
        trace_id: Its trace, empty if it is not known.
    """

    at: float
    trace_id: str


@dataclass
class Numbers:
    """The numbers of one sensor in one phase.

    Attributes:
        acknowledged: Those that the broker acknowledged.
        confirmed: Those that have a receipt.
    """

    acknowledged: Intervals = field(default_factory=Intervals)
    confirmed: Intervals = field(default_factory=Intervals)


@dataclass
class Phase:
    """The figures of one phase.

    Attributes:
        published: Readings that the broker acknowledged, or that have a receipt; those of MQTT 3.1.1 not included.
        processed: Published readings that a consumer has processed, each once.
        dead_lettered: Published readings that a consumer has given up, each once.
        waiting: Published readings without a receipt.
        duplicates: Receipts of readings that had one already.
        unnumbered: Acknowledged readings of MQTT 3.1.1, which cannot carry a number.
        dropped: Readings that the producer gave up.
        refused: Readings that the broker refused, by reason code.
        missing_context: Readings without a usable context, by reason.
        age: Ages at the consumer.
        puback: Times from publish to PUBACK or PUBCOMP.
        slowest: The largest ages with their traces, a heap.
        sensors: The numbers, by epoch and sensor.
        outstanding: The first readings that wait.
    """

    published: int = 0
    processed: int = 0
    dead_lettered: int = 0
    waiting: int = 0
    duplicates: int = 0
    unnumbered: int = 0
    dropped: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    missing_context: Counter[str] = field(default_factory=Counter)
    age: Histogram = field(default_factory=Histogram)
    puback: Histogram = field(default_factory=Histogram)
    slowest: list[tuple[float, str]] = field(default_factory=list)
    sensors: dict[tuple[str, int], Numbers] = field(default_factory=dict)
    outstanding: dict[Sequence, Sent] = field(default_factory=dict)

    def numbers(self, sequence: Sequence) -> Numbers:
        """The numbers of the sequence's sensor."""
        key = sequence.epoch, sequence.sensor
        numbers = self.sensors.get(key)
        if numbers is None:
            numbers = self.sensors[key] = Numbers()
        return numbers

    def acknowledge(self, sequence: Sequence, sent: Sent, puback_s: float | None) -> None:
        """Note that the broker has accepted a reading."""
        if puback_s is not None:
            self.puback.add(puback_s)
        if not sequence.number:
            self.unnumbered += 1
            return
        numbers = self.numbers(sequence)
        if not numbers.acknowledged.add(sequence.number) or sequence.number in numbers.confirmed:
            return
        self.published += 1
        self.waiting += 1
        if len(self.outstanding) < _MOST_WAITING:
            self.outstanding[sequence] = sent

    def confirm(self, reading: ConfirmedReading) -> bool:
        """Note that a consumer has processed a reading, and return whether it is the first time."""
        sequence = reading.sequence
        numbers = self.numbers(sequence)
        if not numbers.confirmed.add(sequence.number):
            return False
        if sequence.number in numbers.acknowledged:
            self.waiting -= 1
        else:
            self.published += 1
        if reading.outcome == "processed":
            self.processed += 1
        else:
            self.dead_lettered += 1
        if reading.missing_context is not None:
            self.missing_context[reading.missing_context.value] += 1
        if reading.age is not None:
            self._measure(reading.age, reading.trace_id)
        return True

    def _measure(self, age: float, trace_id: str | None) -> None:
        self.age.add(age)
        if trace_id is None:
            return
        if len(self.slowest) < _MOST_EXAMPLES:
            heapq.heappush(self.slowest, (age, trace_id))
        elif age > self.slowest[0][0]:
            heapq.heapreplace(self.slowest, (age, trace_id))

    def figures(self) -> dict[str, Any]:
        """The figures as JSON, without the numbers."""
        return {
            "published": self.published,
            "processed": self.processed,
            "waiting": self.waiting,
            "duplicates": self.duplicates,
            "dead_lettered": self.dead_lettered,
            "unnumbered": self.unnumbered,
            "refused": dict(self.refused),
            "dropped": self.dropped,
            "missing_context": dict(self.missing_context),
            "age": self.age.to_json(),
            "puback": self.puback.to_json(),
            "slowest": sorted(self.slowest, reverse=True),
            "waiting_traces": [
                sent.trace_id for sent in islice(self.outstanding.values(), _MOST_EXAMPLES) if sent.trace_id
            ],
        }


class Ledger:
    """The phases of one run of a scenario.

    Attributes:
        epochs: The processes that have numbered readings, the first one first.
        phases: The phases, by index.
        clocks: The clocks of consumers.
        receipts: Ids of the last receipts.
    """

    def __init__(self, *epochs: str) -> None:
        self.epochs = list(epochs)
        self.phases: dict[int, Phase] = {}
        self.clocks = Clocks()
        self.receipts: OrderedDict[str, None] = OrderedDict()

    @property
    def waiting(self) -> int:
        """Number of published readings without a receipt."""
        return sum(phase.waiting for phase in self.phases.values())

    def phase(self, index: int) -> Phase:
        """The phase with this index."""
        phase = self.phases.get(index)
        if phase is None:
            phase = self.phases[index] = Phase()
        return phase

    def receive(self, receipt: Receipt, arrived_at: float, *, redelivered: bool = False) -> None:
        """Count the readings of a receipt.

        Args:
            receipt: The receipt.
            arrived_at: When it arrived, in seconds since the epoch.
            redelivered: Whether the broker has sent it before (DUP). Without an id, that alone shows that it is no
                second receipt.
        """
        if receipt.id is not None:
            if receipt.id in self.receipts:
                return
            self.receipts[receipt.id] = None
            if len(self.receipts) > _MOST_RECEIPTS:
                self.receipts.popitem(last=False)
        for reading in receipt.readings:
            if reading.sequence.epoch not in self.epochs or not reading.sequence.number:
                continue  # of an earlier run
            phase = self.phase(reading.sequence.phase)
            sent = phase.outstanding.pop(reading.sequence, None)
            if not phase.confirm(reading):
                phase.duplicates += receipt.id is not None or not redelivered
            elif sent is not None and reading.at is not None:
                self.clocks.compare(receipt.consumer, sent.at, reading.at, arrived_at)
