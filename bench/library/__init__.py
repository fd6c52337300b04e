"""What tracing with the library costs a paho program, beside no tracing and tracing as the guide has it."""
