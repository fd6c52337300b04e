"""Readiness: the SUBACK, and the probe that proves it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from images.consumer.tests.conftest import MakeConsumer
from images.consumer.tests.harness import Echo, listening, publish, reading
from local.mosquitto import Mosquitto
from local.waiting import until

MakeBroker = Callable[..., Mosquitto]

DYNAMIC_SECURITY = next(Path("/").glob("usr/lib/*/mosquitto_dynamic_security.so"), None)


@pytest.mark.parametrize(
    ("topic_filter", "group", "topic"),
    [
        ("test-filters/+/reading", "g", "test-filters/one/reading"),
        ("test-filters/#", "", "test-filters"),
        ("test-filters/#", "g", "test-filters/a/b"),
        ("test-filters/one/reading", "", "test-filters/one/reading"),
        ("test-filters/one/reading", "g", "test-filters/one/reading"),
    ],
)
def test_every_kind_of_filter_becomes_ready(
    make_broker: MakeBroker, make_consumer: MakeConsumer, echo: Echo, topic_filter: str, group: str, topic: str
) -> None:
    """With any filter, shared or not, probes come back, are not readings, and each reading arrives once."""
    broker = make_broker()
    settings = {"MQTT_TOPIC_FILTER": topic_filter, "MQTT_SHARE_GROUP": group}
    consumer = make_consumer(broker, "consumer-1", **settings).start_ready()
    publish(broker, topic, reading("1"))
    consumer.wait_status(processed=1, in_flight=0, dead_lettered=0)
    assert consumer.stop() == 0
    assert echo.calls == 1
    assert not consumer.said("stopped with")


def test_tls_and_a_password(make_broker: MakeBroker, make_consumer: MakeConsumer) -> None:
    """The consumer connects to a broker with TLS and a password, and logs a wrong password."""
    broker = make_broker(tls=True, users={"consumer": "s3cret"})
    settings = {"MQTT_TLS": "true", "MQTT_TLS_CA_FILE": str(broker.ca_file), "MQTT_USERNAME": "consumer"}
    make_consumer(broker, "right", MQTT_PASSWORD="s3cret", **settings).start_ready()  # noqa: S106 - the test broker's
    wrong = make_consumer(broker, "wrong", MQTT_PASSWORD="guess", **settings)  # noqa: S106 - a wrong one
    wrong.start()
    wrong.wait_said("the broker refused the connection: Not authorized; trying again")
    assert wrong.status["ready"] is False


def test_a_filter_that_the_acl_forbids_is_never_ready(make_broker: MakeBroker, make_consumer: MakeConsumer) -> None:
    """With a filter that the ACL forbids, no probe comes back, and the consumer is never ready."""
    broker = make_broker(acl=["topic write sensors/#"])
    consumer = make_consumer(broker)
    consumer.start()
    consumer.wait_said("a probe on sensors/_probe-consumer-0/reading did not come back")
    assert consumer.status.items() >= {"ready": False, "subscribed": True}.items()
    assert (
        "check that the broker's ACL lets us read topics that match sensors/+/reading" in consumer.said("not ready")[0]
    )


def test_probes_that_the_acl_forbids_are_named(make_broker: MakeBroker, make_consumer: MakeConsumer) -> None:
    """If the ACL forbids to publish probes, a log line names the topic to allow."""
    broker = make_broker(acl=["topic read sensors/#"])
    consumer = make_consumer(broker)
    consumer.start()
    consumer.wait_said("the broker refused a probe on sensors/_probe-consumer-0/reading (Not authorized): allow us")
    assert consumer.status["ready"] is False


@pytest.mark.skipif(DYNAMIC_SECURITY is None, reason="no dynamic security plugin: install a Mosquitto with it")
def test_a_refused_suback_is_logged_and_retried(
    make_broker: MakeBroker, make_consumer: MakeConsumer, tmp_path: Path
) -> None:
    """While the broker refuses the subscription, the consumer is not ready, and one log line has the reason code."""
    rules = tmp_path / "rules.json"
    access = {"publishClientSend": True, "publishClientReceive": True, "subscribe": False, "unsubscribe": True}
    rules.write_text(json.dumps({"defaultACLAccess": access}))
    config = ["per_listener_settings false", f"plugin {DYNAMIC_SECURITY}", f"plugin_opt_config_file {rules}"]
    broker = make_broker(config=config)
    consumer = make_consumer(broker)
    consumer.start()
    consumer.wait_said("the broker refused to subscribe us to sensors/+/reading (Not authorized, 0x87)")
    assert consumer.status.items() >= {"ready": False, "subscribed": False}.items()


def test_a_grant_of_qos_0_is_logged(make_broker: MakeBroker, make_consumer: MakeConsumer) -> None:
    """A broker that grants only QoS 0 is logged, because readings would be lost."""
    consumer = make_consumer(make_broker(config=["max_qos 0"]))
    consumer.start()
    consumer.wait_said("the broker grants QoS 0 for sensors/+/reading")
    assert consumer.status.items() >= {"ready": False, "subscribed": False}.items()


def test_not_ready_after_a_disconnect_and_ready_again(make_broker: MakeBroker, make_consumer: MakeConsumer) -> None:
    """After a disconnect, the consumer is ready only once a probe comes back on the new connection."""
    broker = make_broker()
    consumer = make_consumer(broker).start_ready()
    broker.stop()
    consumer.wait_status(ready=False, subscribed=False)
    broker.start()
    consumer.wait_status(ready=True, subscribed=True)
    assert len(consumer.said("ready: a probe on")) == 2


def test_ready_behind_a_backlog(make_broker: MakeBroker, make_consumer: MakeConsumer, echo: Echo) -> None:
    """A consumer with a full window is ready even while echo is away, because readings arrive."""
    broker = make_broker()
    consumer = make_consumer(broker, RECEIVE_MAXIMUM="8").start_ready()
    consumer.stop()
    publish(broker, "sensors/1/reading", *(reading(str(number)) for number in range(100)))
    echo.stop()
    consumer.start_ready()
    consumer.wait_status(ready=True, paused=True, in_flight=8)
    echo.start()
    consumer.wait_status(processed=100, in_flight=0)


def test_probes_of_other_replicas_are_not_readings(
    make_broker: MakeBroker, make_consumer: MakeConsumer, echo: Echo
) -> None:
    """Probes of other replicas are acknowledged, and reach neither echo nor the dead letters."""
    broker = make_broker()
    with listening(broker, "sensors/#") as seen:
        first = make_consumer(broker, "a").start_ready()
        make_consumer(broker, "b").start_ready()
        until(
            lambda: {"sensors/_probe-a/reading", "sensors/_probe-b/reading"} <= {m.topic for m in seen},
            "both probes arrived",
        )
    publish(broker, "sensors/1/reading", reading("1"))
    first.wait_status(processed=1, in_flight=0, dead_lettered=0)
    until(lambda: echo.calls == 2, "echo was called twice")


def test_probes_are_not_kept_for_later(make_broker: MakeBroker, make_consumer: MakeConsumer) -> None:
    """A probe is not retained."""
    broker = make_broker()
    make_consumer(broker).start_ready()
    with listening(broker, "sensors/#") as seen:
        publish(broker, "sensors/1/reading", reading("1"))
        until(lambda: bool(seen), "a message arrived")
    assert [message.topic for message in seen] == ["sensors/1/reading"]


def test_retained_messages_do_not_come_again_with_each_reconnect(
    make_broker: MakeBroker, make_consumer: MakeConsumer, echo: Echo
) -> None:
    """A new subscription to the same session does not deliver retained messages again."""
    broker = make_broker()
    publish(broker, "sensors/1/reading", reading("kept"), retain=True)
    consumer = make_consumer(broker).start_ready()
    until(lambda: echo.ids == ["kept"], "echo has the retained reading")
    broker.restart()
    until(lambda: len(consumer.said("ready: a probe")) == 2, "a probe came back on the second connection")
    publish(broker, "sensors/1/reading", reading("last"))
    until(lambda: echo.ids[-1] == "last", "echo has the last reading")
    assert echo.ids == ["kept", "last"]


def test_a_client_id_that_is_used_twice_is_named(make_broker: MakeBroker, make_consumer: MakeConsumer) -> None:
    """The evicted consumer logs the client id and what to change."""
    broker = make_broker()
    first = make_consumer(broker, "twin").start_ready()
    second = make_consumer(broker, "twin")
    second.start()
    first.wait_said("our client id 'twin': give each replica an MQTT_CLIENT_ID of its own", timeout_s=60)
    first.stop()
    second.wait_status(ready=True)


def test_a_subscription_that_becomes_shared_does_not_double_the_readings(
    make_broker: MakeBroker, make_consumer: MakeConsumer, echo: Echo
) -> None:
    """An old subscription that was not shared is removed from the session."""
    broker = make_broker()
    make_consumer(broker).start_ready().stop()
    consumer = make_consumer(broker, MQTT_SHARE_GROUP="g").start_ready()
    publish(broker, "sensors/1/reading", reading("1"), reading("2"))
    until(lambda: {"1", "2"} <= set(echo.ids), "echo has both readings")
    consumer.wait_status(in_flight=0)
    assert sorted(echo.ids) == ["1", "2"]


def test_readings_of_an_earlier_filter_are_processed_and_logged(
    make_broker: MakeBroker, make_consumer: MakeConsumer, echo: Echo
) -> None:
    """Readings of the session's earlier filter are processed, and one log line reports them."""
    broker = make_broker()
    make_consumer(broker, MQTT_TOPIC_FILTER="old/+/reading").start_ready().stop()
    consumer = make_consumer(broker).start_ready()
    publish(broker, "old/1/reading", reading("1"), reading("2"))
    publish(broker, "sensors/1/reading", reading("3"))
    until(lambda: set(echo.ids) == {"1", "2", "3"}, "echo has all readings")
    (line,) = consumer.said("an earlier subscription")
    assert "old/1/reading" in line
    assert "MQTT_CLIENT_ID" in line


def test_a_session_that_the_broker_lost_is_logged(make_broker: MakeBroker, make_consumer: MakeConsumer) -> None:
    """A lost session is logged, because readings were lost with it."""
    broker = make_broker(config=["autosave_interval 3600"])
    consumer = make_consumer(broker).start_ready()
    broker.kill()
    broker.start()
    consumer.wait_said("the broker has lost our session")
    consumer.wait_status(ready=True)
