"""Ids of the devices of a process."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mqtt_trace_producer.device_ids import ends_in_number, make_device_ids


@pytest.mark.parametrize(
    ("first", "ids"),
    [
        ("sensor-001", ["sensor-001", "sensor-002", "sensor-003"]),
        ("sensor-1", ["sensor-1", "sensor-2", "sensor-3"]),
        ("line2-098", ["line2-098", "line2-099", "line2-100"]),
        ("sensor-999", ["sensor-999", "sensor-1000", "sensor-1001"]),
        ("demo.fleet-00042", ["demo.fleet-00042", "demo.fleet-00043", "demo.fleet-00044"]),
        ("7", ["7", "8", "9"]),
    ],
)
def test_ids_count_up_from_the_last_number_and_keep_its_width(first: str, ids: list[str]) -> None:
    """sensor-001 is followed by sensor-002."""
    assert make_device_ids(first, 3) == ids


def test_one_device_needs_no_number() -> None:
    """A single device may have any id."""
    assert make_device_ids("boiler", 1) == ["boiler"]
    assert not ends_in_number("boiler")


def test_more_devices_need_a_number() -> None:
    """No further id can be made from an id without a number."""
    with pytest.raises(ValueError, match="'boiler' does not end in a number"):
        make_device_ids("boiler", 2)


@given(st.from_regex(r"[a-z0-9-]{0,8}[0-9]{1,6}", fullmatch=True), st.integers(1, 300))
def test_no_two_devices_share_an_id(first: str, count: int) -> None:
    """All ids are different, because a broker allows one client per id."""
    ids = make_device_ids(first, count)
    assert ids[0] == first
    assert len(set(ids)) == count
