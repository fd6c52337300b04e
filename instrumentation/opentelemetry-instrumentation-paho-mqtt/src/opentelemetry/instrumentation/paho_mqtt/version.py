"""The version, which is that of mqtt-trace."""

__version__ = "0.2.0"
