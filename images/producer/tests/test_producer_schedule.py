"""Schedules, with the time set by the tests."""

from hypothesis import given
from hypothesis import strategies as st
from mqtt_trace_producer.schedule import Schedule


def test_delays_do_not_add_up() -> None:
    """The n-th reading is due at start + n * interval, even when earlier readings were late."""
    schedule = Schedule(start=100.0, interval=2.0)
    for number in range(1000):
        assert schedule.due == 100.0 + 2.0 * number
        assert schedule.advance(schedule.due + 1.5) == 0


def test_a_suspended_process_skips_readings() -> None:
    """Readings that were due while the process was suspended are skipped, and later ones stay on schedule."""
    schedule = Schedule(start=0.0, interval=2.0)
    schedule.advance(0.0)
    assert schedule.advance(3601.0) == 1799
    assert schedule.due == 3602.0


def test_a_timer_that_fires_early_does_not_take_a_reading_twice() -> None:
    """A timer that fires early by the clock's resolution does not make a reading due again."""
    schedule = Schedule(start=0.0, interval=0.1)
    for number in range(1, 500):
        assert schedule.advance(schedule.due - 1e-9) == 0
        assert schedule.due == number * 0.1


@given(st.floats(0, 1e6), st.floats(0.01, 1e5), st.lists(st.floats(0, 1e4), max_size=30))
def test_every_point_is_taken_or_skipped_once(start: float, interval: float, lateness: list[float]) -> None:
    """Taken and skipped readings add up to the points that have passed."""
    schedule = Schedule(start, interval)
    points = 0
    for late in lateness:
        due = schedule.due
        points += 1 + schedule.advance(due + late)
        assert schedule.due > due
        assert schedule.due == start + points * interval
