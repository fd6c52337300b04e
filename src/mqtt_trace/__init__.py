"""W3C trace context across an MQTT broker, for paho-mqtt and OpenTelemetry.

`TracedPublisher` publishes with a span that lasts until the broker's acknowledgement; `TracedConsumer` continues the
trace where the message arrives. `inject` and `extract` are the two halves for programs that keep their own spans.
"""

from mqtt_trace._errors import ConfigurationError, MqttTraceError
from mqtt_trace._message import ReceivedMessage
from mqtt_trace._options import Conventions, Options, Relation
from mqtt_trace._paho.tolerant import install_tolerant_reader
from mqtt_trace._propagation import (
    Extracted,
    MissingReason,
    context_to_user_properties,
    extract,
    has_trace_context,
    inject,
    user_properties_to_context,
)
from mqtt_trace._receipts import Receipt, receipt_for
from mqtt_trace._spans.consumer import TracedConsumer
from mqtt_trace._spans.outcome import PublishOutcome
from mqtt_trace._spans.publisher import TracedPublisher
from mqtt_trace._version import __version__

__all__ = [
    "ConfigurationError",
    "Conventions",
    "Extracted",
    "MissingReason",
    "MqttTraceError",
    "Options",
    "PublishOutcome",
    "Receipt",
    "ReceivedMessage",
    "Relation",
    "TracedConsumer",
    "TracedPublisher",
    "__version__",
    "context_to_user_properties",
    "extract",
    "has_trace_context",
    "inject",
    "install_tolerant_reader",
    "receipt_for",
    "user_properties_to_context",
]
