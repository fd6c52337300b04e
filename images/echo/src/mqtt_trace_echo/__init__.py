"""The HTTP service at the end of the trace: answers with what it was sent."""
