"""The acknowledgements that a publisher receives, and when."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from opentelemetry.trace import StatusCode
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from local.mosquitto import Mosquitto
from local.waiting import until
from mqtt_trace import PublishOutcome, TracedPublisher
from tests.library.harness import Connect, MakeBroker, Recorded
from tests.library.looping import connect_without_a_thread, loop_until


def publisher_of(client: Client, recorded: Recorded, **options: Any) -> TracedPublisher:
    """A publisher that records in memory."""
    return TracedPublisher(
        client, tracer_provider=recorded.tracer_provider, meter_provider=recorded.meter_provider, **options
    )


@pytest.mark.filterwarnings("ignore:Callback API version 1")
@pytest.mark.parametrize("qos", [1, 2])
def test_a_refusal_ends_the_span_with_callback_api_version_1(
    make_broker: MakeBroker, connect: Connect, recorded: Recorded, qos: int
) -> None:
    """The span has the reason code, which callbacks of that version do not receive."""
    outcomes: list[PublishOutcome] = []
    client = connect(make_broker(acl=["topic read #"]), api=CallbackAPIVersion.VERSION1)
    publisher_of(client, recorded).publish("forbidden/x", "x", qos, on_outcome=outcomes.append)
    until(lambda: len(recorded.spans) == 1, "the span ended")
    (span,) = recorded.spans
    assert (span.status.status_code, span.attributes["error.type"]) == (StatusCode.ERROR, "0x87")
    assert [outcome.error_type for outcome in outcomes] == ["0x87"]


def test_a_qos_0_publish_acknowledges_no_other(broker: Mosquitto, recorded: Recorded) -> None:
    """A QoS 0 publish, whose packet id may be that of a pending publish after 65,535 others, ends no other span."""
    client = connect_without_a_thread(broker)
    publisher = publisher_of(client, recorded)
    pending = publisher.publish("slow/x", "x", 1)
    client._last_mid = 0  # noqa: SLF001 - instead of 65,535 publishes
    assert client.publish("quick/x", "x", 0).mid == pending.mid
    assert (publisher.pending, recorded.spans) == (1, ())
    loop_until(client, lambda: not publisher.pending, "every span ended")
    client.disconnect()
    assert pending.is_published()


def test_many_publishers_of_one_client_are_each_told_of_their_own(
    broker: Mosquitto, connect: Connect, recorded: Recorded
) -> None:
    """Each publisher gets its own acknowledgements, and the program's `on_publish` is called once."""
    client = connect(broker)
    acknowledged: list[int] = []
    client.on_publish = lambda _client, _userdata, mid, *_: acknowledged.append(mid)
    publishers = [publisher_of(client, recorded) for _ in range(1100)]
    mids = [publisher.publish("many/x", "x", 1).mid for publisher in (publishers[0], publishers[-1])]
    until(lambda: len(acknowledged) == 2, "on_publish was called for both")
    assert acknowledged == mids
    assert [span.status.status_code for span in recorded.spans] == [StatusCode.UNSET] * 2


def test_acknowledgements_end_spans_after_reinitialise(broker: Mosquitto, connect: Connect, recorded: Recorded) -> None:
    """After `reinitialise`, with which paho drops every callback, the publisher still gets acknowledgements."""
    client = connect(broker)
    publisher = publisher_of(client, recorded)
    client.loop_stop()
    client.reinitialise("again")
    client.connect(broker.host, broker.port)
    client.loop_start()
    publisher.publish("again/x", "x", 1)
    until(lambda: len(recorded.spans) == 1, "the span ended")
    assert recorded.spans[0].status.status_code is StatusCode.UNSET


def test_the_span_ends_before_on_publish_whenever_that_is_set(broker: Mosquitto, recorded: Recorded) -> None:
    """The span ends first, even if the program sets or replaces its callback after creating the publisher."""
    client = connect_without_a_thread(broker)
    publisher = publisher_of(client, recorded)
    first: list[int] = []
    second: list[int] = []
    for ended in (first, second):
        client.on_publish = lambda *_, ended=ended: ended.append(len(recorded.spans))
        publisher.publish("later/x", "x", 1)
        loop_until(client, ended.copy, "the span ended")
    client.disconnect()
    assert (first, second) == ([1], [2])


def test_a_publish_outlives_its_publisher(broker: Mosquitto, recorded: Recorded) -> None:
    """The acknowledgement ends the span although the program no longer holds the publisher."""
    client = connect_without_a_thread(broker)
    publisher_of(client, recorded).publish("outlives/x", "x", 1)
    gc.collect()
    loop_until(client, lambda: recorded.spans, "the span ended")
    client.disconnect()
    assert recorded.spans[0].status.status_code is StatusCode.UNSET


def test_what_is_published_when_an_outcome_is_reported_is_queued(broker: Mosquitto, recorded: Recorded) -> None:
    """As in a callback, paho does not write in the middle of a read, so it cannot lose the connection there."""
    client = connect_without_a_thread(broker)
    publisher = publisher_of(client, recorded)
    queued: list[bool] = []

    def publish_another(_: PublishOutcome) -> None:
        client.publish("another/x", "x", 0)
        queued.append(client.want_write())

    publisher.publish("first/x", "x", 1, on_outcome=publish_another)
    loop_until(client, lambda: not publisher.pending, "every span ended")
    client.disconnect()
    assert queued == [True]
