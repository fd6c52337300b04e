"""Measurements of fleets and of their operator, in the cluster of `make up`."""
