"""The statistics that Mosquitto publishes below `$SYS/broker/`, as metrics.

A metric has the name of its topic (see mosquitto(8), "Broker status"), with dots and `mosquitto` in front.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation, get_meter

TOPICS = "$SYS/broker/#"
_PREFIX = "$SYS/broker/"


@dataclass(frozen=True, slots=True)
class Statistic:
    """One topic.

    Attributes:
        topic: The topic below `$SYS/broker/`.
        unit: The metric's unit.
        description: The metric's description.
    """

    topic: str
    unit: str
    description: str

    @property
    def metric(self) -> str:
        """The metric's name."""
        return f"mosquitto.{self.topic.replace('/', '.')}"


CURRENT = (
    Statistic("clients/connected", "{client}", "Connected clients."),
    Statistic("clients/disconnected", "{client}", "Clients with a session that are not connected."),
    Statistic("subscriptions/count", "{subscription}", "Subscriptions of all clients."),
    Statistic("store/messages/count", "{message}", "Messages in the store: queued for clients, or retained."),
    Statistic("store/messages/bytes", "By", "Payload of the messages in the store."),
    Statistic("heap/current", "By", "Memory in use; not all builds of Mosquitto count it."),
)
TOTALS = (
    Statistic("clients/expired", "{client}", "Sessions that ended because their clients stayed away."),
    Statistic("publish/messages/received", "{message}", "PUBLISH messages that clients sent."),
    Statistic("publish/messages/sent", "{message}", "PUBLISH messages that were sent to clients."),
    Statistic("publish/messages/dropped", "{message}", "PUBLISH messages dropped from a client's full queue."),
    Statistic("bytes/received", "By", "Bytes that clients sent."),
    Statistic("bytes/sent", "By", "Bytes that were sent to clients."),
)


class Statistics:
    """The latest value of each statistic; nothing is exported of a statistic without one."""

    def __init__(self, meter_provider: MeterProvider | None = None) -> None:
        self._values: dict[str, float] = {}
        meter = get_meter("mqtt_trace_broker_metrics", version("mqtt-trace-broker-metrics"), meter_provider)
        for statistic in CURRENT:
            meter.create_observable_up_down_counter(
                statistic.metric, [self._observer(statistic)], statistic.unit, statistic.description
            )
        for statistic in TOTALS:
            meter.create_observable_counter(
                statistic.metric, [self._observer(statistic)], statistic.unit, statistic.description
            )

    @property
    def known(self) -> int:
        """The number of statistics with a value."""
        return len(self._values)

    def received(self, topic: str, payload: bytes | bytearray) -> None:
        """Take a message of the broker; other topics, and payloads that are no number, are ignored."""
        name = topic.removeprefix(_PREFIX)
        if name in _TOPICS_OF_STATISTICS:
            try:
                self._values[name] = float(payload)
            except ValueError:
                return

    def forget(self) -> None:
        """Forget all values, so that those of a lost broker are not exported as its present ones."""
        self._values.clear()

    def _observer(self, statistic: Statistic) -> Callable[[CallbackOptions], Iterator[Observation]]:
        def observe(_options: CallbackOptions) -> Iterator[Observation]:
            value = self._values.get(statistic.topic)
            if value is not None:
                yield Observation(int(value))

        return observe


_TOPICS_OF_STATISTICS = {statistic.topic for statistic in (*CURRENT, *TOTALS)}
