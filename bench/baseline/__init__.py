"""The baseline: the guide's code, unchanged, as three small services."""
