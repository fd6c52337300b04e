"""PUBACKs: in receive order, on the connection that brought the message."""

from __future__ import annotations

from contextlib import ExitStack

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from mqtt_trace_consumer.acknowledger import Acknowledger, Delivery
from mqtt_trace_consumer.window import Window
from paho.mqtt.client import MQTTMessage

SIZE = 3


def message(packet_id: int, qos: int = 1) -> MQTTMessage:
    """A message as paho delivers it."""
    made = MQTTMessage(packet_id, b"t")
    made.qos = qos
    return made


class Connected:
    """A connection on which reading can pause.

    Attributes:
        reads: Whether it does not.
        renewals: How often it was to be renewed.
    """

    def __init__(self) -> None:
        self.reads = True
        self.renewals = 0

    def pause_reading(self) -> None:
        """Pause."""
        self.reads = False

    def resume_reading(self) -> None:
        """Read again."""
        self.reads = True

    def renew(self, reason_code: int, cause: str) -> None:
        """Count it."""
        assert (reason_code, cause) == (0x93, "the broker has sent more than Receive Maximum")
        self.renewals += 1


class Deliveries(RuleBasedStateMachine):
    """Messages arrive, are settled in any order, and connections are lost meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[MQTTMessage] = []
        self.connection = Connected()
        self.acknowledger = Acknowledger(self.sent.append, Window(SIZE, self.connection))
        self.pubacks = ExitStack()
        self.full = self.awaiting = False
        self.arrived: list[Delivery] = []
        self.old: list[Delivery] = []

    @precondition(lambda self: self.connection.reads)
    @rule()
    def receive(self) -> None:
        """The broker sends a message, ignoring Receive Maximum; packet ids restart on each connection."""
        delivery = self.acknowledger.receive(message(len(self.arrived) + 1))
        assert not (self.full and delivery)
        if delivery is None:
            self.full = True  # what comes after it would be acknowledged before it
        else:
            self.arrived.append(delivery)

    @rule()
    def await_puback(self) -> None:
        """A dead letter was published."""
        self.pubacks.enter_context(self.acknowledger.awaiting_puback())
        self.awaiting = True

    @rule()
    def all_pubacks_come(self) -> None:
        """The broker has acknowledged all dead letters."""
        self.pubacks.close()
        self.awaiting = False

    @precondition(lambda self: self.arrived)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        """A worker has finished a message of this connection."""
        self.acknowledger.settle(data.draw(st.sampled_from(self.arrived)))

    @precondition(lambda self: self.old)
    @rule(data=st.data())
    def settle_late(self, data: st.DataObject) -> None:
        """A worker has finished a message of an earlier connection."""
        delivery = data.draw(st.sampled_from(self.old))
        assert not self.acknowledger.is_current(delivery)
        self.acknowledger.settle(delivery)

    @rule()
    def lose_connection(self) -> None:
        """The connection is lost, and its messages with it."""
        self.acknowledger.connection_lost()
        self.connection.reads, self.connection.renewals = True, 0
        self.full = False
        self.old += self.arrived
        self.arrived.clear()
        self.sent.clear()

    @invariant()
    def acknowledged_is_the_settled_head(self) -> None:
        """All messages before the first unsettled one are acknowledged, in order."""
        head: list[MQTTMessage] = []
        for delivery in self.arrived:
            if not delivery.settled:
                break
            head.append(delivery.message)
        assert self.sent == head
        assert self.acknowledger.in_flight == len(self.arrived) - len(head)

    @invariant()
    def the_window_bounds_what_is_held(self) -> None:
        """At most one message beyond Receive Maximum is held."""
        assert self.acknowledger.in_flight <= SIZE + 1

    @invariant()
    def reading_goes_on(self) -> None:
        """Reading pauses only while messages are in progress and none of them waits for a PUBACK."""
        assert self.connection.reads or (self.acknowledger.in_flight > SIZE // 2 and not self.awaiting)

    @invariant()
    def what_had_no_room_comes_again(self) -> None:
        """The connection is renewed once all held messages are acknowledged."""
        assert bool(self.connection.renewals) == (self.full and bool(self.arrived) and not self.acknowledger.in_flight)


TestDeliveries = Deliveries.TestCase


def test_qos_0_is_never_acknowledged_and_never_stale() -> None:
    """A message of QoS 0 is processed even after its connection is lost, because the broker never resends it."""
    sent: list[MQTTMessage] = []
    acknowledger = Acknowledger(sent.append, Window(SIZE, Connected()))
    delivery = acknowledger.receive(message(0, qos=0))
    assert delivery is not None
    acknowledger.connection_lost()
    assert acknowledger.is_current(delivery)
    acknowledger.settle(delivery)
    assert not sent
    assert acknowledger.in_flight == 0
