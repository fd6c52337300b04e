"""What is instrumented, by the name under which OpenTelemetry's own instrumentations say it."""

_instruments = ("paho-mqtt >= 2.1, < 3",)
