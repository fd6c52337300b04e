"""paho-mqtt's instrumentation by the name that OpenTelemetry's conventions give it.

```python
from opentelemetry.instrumentation.paho_mqtt import PahoMqttInstrumentor

PahoMqttInstrumentor().instrument()
```

It is the class of `mqtt_trace.instrumentation`, so the two names never instrument twice.
"""

from mqtt_trace.instrumentation import PahoMqttInstrumentor, ProcessHook, PublishHook
from opentelemetry.instrumentation.paho_mqtt.package import _instruments
from opentelemetry.instrumentation.paho_mqtt.version import __version__

__all__ = ["PahoMqttInstrumentor", "ProcessHook", "PublishHook", "__version__", "_instruments"]
