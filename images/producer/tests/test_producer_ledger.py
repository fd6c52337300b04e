"""Exact figures by number, whatever the order of acknowledgements and receipts."""

from __future__ import annotations

import json
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st
from mqtt_trace_producer.results.clocks import Clocks
from mqtt_trace_producer.results.intervals import MOST_GAPS, Intervals
from mqtt_trace_producer.results.ledger import Ledger, Sent
from mqtt_trace_producer.results.receipt import ConfirmedReading, Receipt
from mqtt_trace_producer.results.sequence import Sequence
from mqtt_trace_producer.results.state import Writer, read_ledger

TRACE = "0af7651916cd43dd8448eb211c80319c"

NUMBERS = st.integers(min_value=1, max_value=30)
SEQUENCES = st.builds(
    lambda phase, sensor, number: Sequence("e", phase, sensor, number),
    st.integers(0, 1),
    st.integers(0, 1),
    NUMBERS,
)


class Acknowledged(NamedTuple):
    """A PUBACK."""

    sequence: Sequence


class Confirmed(NamedTuple):
    """A receipt with these readings, delivered once or again."""

    id: int
    sequences: tuple[Sequence, ...]


Event = Acknowledged | Confirmed
EVENTS: st.SearchStrategy[list[Event]] = st.lists(
    st.builds(Acknowledged, SEQUENCES)
    | st.builds(Confirmed, st.integers(0, 40), st.lists(SEQUENCES, max_size=4).map(tuple)),
    max_size=100,
)


def receipt_of(*sequences: Sequence, id: str | None = None, **more: object) -> Receipt:  # noqa: A002 - the member's name
    """A receipt of readings."""
    readings = [ConfirmedReading.model_validate({"sequence": str(one), **more}) for one in sequences]
    return Receipt(id=id, consumer="consumer-0", readings=readings)


def acknowledge(ledger: Ledger, sequence: Sequence, at: float = 0.0) -> None:
    """Record a PUBACK."""
    ledger.phase(sequence.phase).acknowledge(sequence, Sent(at, TRACE), 0.001)


def apply(ledger: Ledger, events: list[Event]) -> None:
    """Record events."""
    for event in events:
        if isinstance(event, Acknowledged):
            acknowledge(ledger, event.sequence)
        else:
            ledger.receive(receipt_of(*event.sequences, id=str(event.id)), 1.0)


def restarted(ledger: Ledger) -> Ledger:
    """The ledger after a restart of the container."""
    return read_ledger(json.loads(Writer().write(ledger, set(ledger.phases))))


@given(st.lists(st.integers(1, 60)))
def test_intervals_are_a_set(numbers: list[int]) -> None:
    """Intervals hold the numbers that were added, and say of each whether it is new."""
    intervals, expected = Intervals(), set[int]()
    for number in numbers:
        assert intervals.add(number) == (number not in expected)
        expected.add(number)
        assert {one for one in range(70) if one in intervals} == expected
        assert intervals.bounds == sorted(set(intervals.bounds))


def test_numbers_in_a_row_take_one_interval() -> None:
    """A million consecutive numbers with a gap take two intervals."""
    intervals = Intervals()
    for number in range(1, 1_000_001):
        if number != 4711:
            intervals.add(number)
    assert intervals.bounds == [1, 4711, 4712, 1_000_001]


def test_the_memory_of_gaps_is_bounded() -> None:
    """Beyond the limit, the first gap is forgotten, and later ones are not."""
    intervals = Intervals()
    for number in range(0, 2 * MOST_GAPS + 20, 2):
        intervals.add(number)
    assert len(intervals.bounds) == 2 * (MOST_GAPS + 1)
    assert 1 in intervals
    assert 2 * MOST_GAPS + 17 not in intervals


@given(EVENTS, st.integers(0, 100))
def test_the_figures_are_those_of_sets(events: list[Event], restart_after: int) -> None:
    """Published, processed, waiting and duplicates are exact in any order, over redeliveries and a restart."""
    ledger = Ledger("e")
    apply(ledger, events[:restart_after])
    ledger = restarted(ledger)
    apply(ledger, events[restart_after:])

    receipts = {event.id: event for event in reversed(events) if isinstance(event, Confirmed)}
    confirmed = [sequence for receipt in receipts.values() for sequence in receipt.sequences]
    acknowledged = {event.sequence for event in events if isinstance(event, Acknowledged)}
    for index, phase in ledger.phases.items():
        published = {one for one in acknowledged | set(confirmed) if one.phase == index}
        assert phase.published == len(published)
        assert phase.waiting == len(published - set(confirmed))
        assert phase.processed == len(published & set(confirmed))
        assert phase.duplicates == sum(one.phase == index for one in confirmed) - phase.processed
        assert phase.outstanding.keys() == published - set(confirmed)
    assert set(ledger.phases) == {one.phase for one in acknowledged | set(confirmed)}


def test_a_receipt_without_an_id_that_is_delivered_again_is_no_duplicate() -> None:
    """Without an id, a receipt counts again unless the broker marks it as delivered before."""
    ledger, sequence = Ledger("e"), Sequence("e", 0, 7, 1)
    ledger.receive(receipt_of(sequence), 1.0)
    ledger.receive(receipt_of(sequence), 1.0, redelivered=True)
    assert ledger.phases[0].duplicates == 0
    ledger.receive(receipt_of(sequence), 1.0)
    assert ledger.phases[0].duplicates == 1


def test_receipts_of_other_runs_do_not_count() -> None:
    """A receipt for an epoch that is not the ledger's, or for no number, changes nothing."""
    ledger = Ledger("e")
    ledger.receive(receipt_of(Sequence("f", 0, 1, 1), Sequence("e", 0, 1, 0)), 1.0)
    assert not ledger.phases


def test_outcomes_ages_and_reasons_count_once() -> None:
    """A second receipt of a reading adds to the duplicates alone."""
    ledger, sequence = Ledger("e"), Sequence("e", 0, 7, 1)
    acknowledge(ledger, sequence)
    for _ in range(2):
        ledger.receive(
            receipt_of(sequence, outcome="dead_lettered", age=2.0, missing_context="absent", trace_id=TRACE), 1.0
        )
    figures = ledger.phases[0].figures()
    assert {name: figures[name] for name in ("published", "processed", "dead_lettered", "duplicates")} == {
        "published": 1,
        "processed": 0,
        "dead_lettered": 1,
        "duplicates": 1,
    }
    assert figures["missing_context"] == {"absent": 1}
    assert figures["slowest"] == [(2.0, TRACE)]
    assert ledger.phases[0].age.count == 1


def test_the_slowest_five_and_the_first_five_waiting_are_named() -> None:
    """Of many readings, the five oldest ages and the five that wait longest have their traces in the figures."""
    ledger = Ledger("e")
    for number in range(1, 21):
        acknowledge(ledger, Sequence("e", 0, 1, number))
    for number in range(1, 11):
        trace_id = f"{number:032x}"
        ledger.receive(receipt_of(Sequence("e", 0, 1, number), age=number, trace_id=trace_id), 1.0)
    figures = restarted(ledger).phases[0].figures()
    assert [age for age, _ in figures["slowest"]] == [10, 9, 8, 7, 6]
    assert figures["slowest"][0][1] == f"{10:032x}"
    assert figures["waiting_traces"] == [TRACE] * 5


def test_readings_of_mqtt_311_are_counted_apart() -> None:
    """A reading without a number is acknowledged, and neither published nor waiting."""
    ledger = Ledger("e")
    acknowledge(ledger, Sequence("e", 0, 1, 0))
    assert (ledger.phases[0].unnumbered, ledger.phases[0].published, ledger.waiting) == (1, 0, 0)


def test_a_clock_is_compared_by_the_shortest_round_trip() -> None:
    """The skew of a consumer is that of the reading that came back soonest."""
    ledger = Ledger("e")
    for number, (round_trip, at) in enumerate([(10.0, 109.0), (0.2, 103.1), (4.0, 103.9)], 1):
        sequence = Sequence("e", 0, 1, number)
        acknowledge(ledger, sequence, at=100.0)
        ledger.receive(receipt_of(sequence, at=at), 100.0 + round_trip)
    assert restarted(ledger).clocks.skews() == {"consumer-0": 3.0}


def test_any_number_of_consumers_takes_bounded_memory() -> None:
    """A consumer beyond the hundredth has no clock of its own."""
    clocks = Clocks()
    for number in range(200):
        clocks.compare(f"consumer-{number}", 0.0, 1.0, 1.0)
    assert len(clocks.skews()) == 100


@given(SEQUENCES)
def test_a_sequence_is_read_as_it_was_written(sequence: Sequence) -> None:
    """The text of a sequence gives the sequence again."""
    assert Sequence.parse(str(sequence)) == sequence
