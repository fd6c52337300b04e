"""Publish and process spans: when they start and end, what they say, and the metrics beside them."""
