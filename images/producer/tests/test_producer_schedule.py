"""When readings are due, on a clock that the tests set."""

from hypothesis import given
from hypothesis import strategies as st
from mqtt_trace_producer.schedule import Pace


def test_lateness_does_not_add_up() -> None:
    """The n-th reading is due at start + n * interval however late each one before it was."""
    pace = Pace(start=100.0, interval=2.0)
    for number in range(1000):
        assert pace.due == 100.0 + 2.0 * number
        assert pace.advance(pace.due + 1.5) == 0


def test_a_suspended_process_skips_instead_of_catching_up() -> None:
    """What was due during an hour's sleep is skipped, and the rhythm stays."""
    pace = Pace(start=0.0, interval=2.0)
    pace.advance(0.0)
    assert pace.advance(3601.0) == 1799
    assert pace.due == 3602.0


def test_a_timer_that_fires_early_does_not_take_a_reading_twice() -> None:
    """A loop's timer is right only up to the clock's resolution."""
    pace = Pace(start=0.0, interval=0.1)
    for number in range(1, 500):
        assert pace.advance(pace.due - 1e-9) == 0
        assert pace.due == number * 0.1


@given(st.floats(0, 1e6), st.floats(0.01, 1e5), st.lists(st.floats(0, 1e4), max_size=30))
def test_every_point_is_taken_or_skipped_once(start: float, interval: float, lateness: list[float]) -> None:
    """Readings that were taken and skipped add up to the points that have passed."""
    pace = Pace(start, interval)
    points = 0
    for late in lateness:
        due = pace.due
        points += 1 + pace.advance(due + late)
        assert pace.due > due
        assert pace.due == start + points * interval
