"""Publish and process spans: when they start and end, their attributes, and their metrics."""
