"""The programs of examples/untraced, which do not use OpenTelemetry, under `opentelemetry-instrument`."""

import os
import sysconfig
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from scout_harness import ScoutSim

from local.mosquitto import Mosquitto
from local.processes import Process
from local.scout import Scout, Span
from local.waiting import until

PROGRAMS = Path(__file__).parents[2] / "examples" / "untraced"
INSTRUMENT = str(Path(sysconfig.get_path("scripts")) / "opentelemetry-instrument")


def program(name: str, broker: Mosquitto, backend: ScoutSim, folder: Path) -> Process:
    """An unchanged example except for the broker's port, with telemetry to the backend."""
    source = (PROGRAMS / f"{name}.py").read_text(encoding="utf-8")
    assert "opentelemetry" not in source
    copy = folder / f"{name}.py"
    copy.write_text(source.replace('"localhost", 1883', f'"{broker.host}", {broker.port}'), encoding="utf-8")
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "MQTT_"))}
    telemetry = {
        "OTEL_SERVICE_NAME": name,
        "OTEL_EXPORTER_OTLP_ENDPOINT": backend.url,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "NO_PROXY": broker.host,
    }
    return Process(
        name, [INSTRUMENT, "python", str(copy)], log=folder / f"{name}.log", env={**inherited, **telemetry, **path()}
    )


def path() -> dict[str, str]:
    """The environment's own Python first, as in an activated one."""
    return {"PATH": os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])}


def test_two_programs_that_know_nothing_of_tracing_make_one_trace(
    make_broker: Callable[[], Mosquitto], tmp_path: Path
) -> None:
    """The subscriber's process span is below the publisher's publish span, in a trace that scout-sim has."""
    with ExitStack() as running:
        backend = running.enter_context(ScoutSim(tmp_path / "scout.log", require_token=False))
        scout = running.enter_context(Scout(backend.url))
        broker = make_broker()
        subscriber = program("subscriber", broker, backend, tmp_path)
        publisher = program("publisher", broker, backend, tmp_path)
        for one in (subscriber, publisher):
            running.callback(one.stop)
            one.start()

        def connected() -> list[Span] | None:
            for one in (subscriber, publisher):
                one.check()
            traces = (scout.spans(trace_id) for trace_id in scout.trace_ids(service="subscriber"))
            both = (trace for trace in traces if {span.service for span in trace} == {"publisher", "subscriber"})
            return next(both, None)

        trace = until(connected, "a trace of both programs", 90, every_s=0.1)
        assert "sensors/thermometer/reading" in subscriber.output()
    publish, process = sorted(trace, key=lambda span: span.kind, reverse=True)
    assert (publish.name, publish.kind, publish.service, publish.parent_span_id) == (
        "publish sensors/thermometer/reading",
        "PRODUCER",
        "publisher",
        None,
    )
    assert (process.name, process.kind, process.service, process.parent_span_id) == (
        "process sensors/thermometer/reading",
        "CONSUMER",
        "subscriber",
        publish.span_id,
    )
    assert process.attributes["messaging.destination.template"] == "sensors/+/reading"
    assert publish.attributes["messaging.client.id"] == "thermometer"
