"""Mosquitto's own statistics below `$SYS` as OpenTelemetry metrics."""
