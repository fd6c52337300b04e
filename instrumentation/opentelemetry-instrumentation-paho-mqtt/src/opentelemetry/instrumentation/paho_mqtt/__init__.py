"""paho-mqtt's instrumentation, by the name that OpenTelemetry's own instrumentations would give it.

    from opentelemetry.instrumentation.paho_mqtt import PahoMqttInstrumentor

    PahoMqttInstrumentor().instrument()

It is the class of `mqtt_trace.instrumentation`: by whichever name it is called, a program is instrumented once.
"""

from opentelemetry.instrumentation.paho_mqtt.version import __version__

from mqtt_trace.instrumentation import PahoMqttInstrumentor, ProcessHook, PublishHook

__all__ = ["PahoMqttInstrumentor", "ProcessHook", "PublishHook", "__version__"]
