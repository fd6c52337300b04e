"""Scenarios of fleets: their clock, and where they are."""
