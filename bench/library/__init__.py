"""The cost of tracing a paho program with the library, compared with no tracing and with the baseline."""
