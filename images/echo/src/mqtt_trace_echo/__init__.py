"""The HTTP service at the end of the trace: it returns the body that it received."""
