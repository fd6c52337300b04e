"""The chart in a real cluster: `make e2e`."""
