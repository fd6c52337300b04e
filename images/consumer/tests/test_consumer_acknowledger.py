"""PUBACKs: in receive order, on the connection that brought the message."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from mqtt_trace_consumer.acknowledger import Acknowledger, Delivery
from paho.mqtt.client import MQTTMessage


def message(packet_id: int, qos: int = 1) -> MQTTMessage:
    """A message as paho hands it over."""
    made = MQTTMessage(packet_id, b"t")
    made.qos = qos
    return made


class Deliveries(RuleBasedStateMachine):
    """Messages arrive, are settled in any order, and connections are lost in between."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[MQTTMessage] = []
        self.acknowledger = Acknowledger(self.sent.append)
        self.arrived: list[Delivery] = []
        self.old: list[Delivery] = []

    @rule()
    def receive(self) -> None:
        """The broker sends a message; packet ids begin anew on each connection."""
        self.arrived.append(self.acknowledger.receive(message(len(self.arrived) + 1)))

    @precondition(lambda self: self.arrived)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        """A worker is done with one of this connection."""
        self.acknowledger.settle(data.draw(st.sampled_from(self.arrived)))

    @precondition(lambda self: self.old)
    @rule(data=st.data())
    def settle_late(self, data: st.DataObject) -> None:
        """A worker is done with one of an earlier connection."""
        delivery = data.draw(st.sampled_from(self.old))
        assert not self.acknowledger.is_current(delivery)
        self.acknowledger.settle(delivery)

    @rule()
    def lose_connection(self) -> None:
        """The connection is gone, and with it what was received on it."""
        self.acknowledger.connection_lost()
        self.old += self.arrived
        self.arrived.clear()
        self.sent.clear()

    @invariant()
    def acknowledged_is_the_settled_head(self) -> None:
        """Acknowledged is, in order, everything before the first message that is not settled."""
        head: list[MQTTMessage] = []
        for delivery in self.arrived:
            if not delivery.settled:
                break
            head.append(delivery.message)
        assert self.sent == head
        assert self.acknowledger.in_flight == len(self.arrived) - len(head)


TestDeliveries = Deliveries.TestCase


def test_qos_0_is_never_acknowledged_and_never_stale() -> None:
    """Nobody delivers it again, so it stays ours to process whatever happens to its connection."""
    sent: list[MQTTMessage] = []
    acknowledger = Acknowledger(sent.append)
    delivery = acknowledger.receive(message(0, qos=0))
    acknowledger.connection_lost()
    assert acknowledger.is_current(delivery)
    acknowledger.settle(delivery)
    assert not sent
    assert acknowledger.in_flight == 0
