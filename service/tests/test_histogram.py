"""Percentiles from exponential buckets."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mqtt_trace_service.histogram import RELATIVE_ERROR, Histogram

DURATIONS = st.lists(st.floats(min_value=1e-5, max_value=1e6), min_size=1, max_size=200)


def made_of(durations: list[float]) -> Histogram:
    """A histogram with these durations."""
    histogram = Histogram()
    for seconds in durations:
        histogram.add(seconds)
    return histogram


@given(DURATIONS, st.floats(min_value=0.1, max_value=100))
def test_a_percentile_is_within_the_relative_error(durations: list[float], percent: float) -> None:
    """A percentile differs from that of the sorted durations by at most one percent."""
    exact = sorted(durations)[max(1, math.ceil(percent / 100 * len(durations))) - 1]
    assert made_of(durations).percentile(percent) == pytest.approx(exact, rel=RELATIVE_ERROR * 1.001)


@given(DURATIONS, DURATIONS)
def test_merging_is_exact(one: list[float], other: list[float]) -> None:
    """Two merged histograms equal the one of all durations, also when one has been JSON in between."""
    merged = made_of(one)
    merged.merge(Histogram.from_json(json.loads(json.dumps(made_of(other).to_json()))))
    assert merged == made_of(one + other)
    assert merged.count == len(one) + len(other)


def test_a_histogram_without_durations_has_no_percentile() -> None:
    """Without durations there is no percentile rather than one of 0."""
    assert Histogram().percentile(99) is None


def test_a_negative_duration_counts() -> None:
    """A duration below zero, from clocks that differ, counts as about none."""
    histogram = made_of([-5.0, 2.0])
    assert histogram.count == 2
    assert histogram.percentile(50) == pytest.approx(1e-6, rel=0.02)
