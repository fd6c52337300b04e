"""The whole stack as processes on one machine: `make demo`, and the fixtures of integration tests."""
