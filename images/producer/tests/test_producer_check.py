"""`mqtt-trace-check` with the real stack: it passes for a working stack, and names the step that fails."""

from __future__ import annotations

import re
import signal
import socket
import socketserver
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest

from images.producer.tests.producer_harness import command, environment
from local.mosquitto import Mosquitto
from local.needed import needs
from local.ports import HOST, free_port
from local.stack import COLLECTOR, Stack

needs_collector = needs(COLLECTOR)


def check(**settings: object) -> tuple[int, str]:
    """Run the command, and return its exit code and its output."""
    done = subprocess.run(
        [command("mqtt-trace-check")],
        env=environment({"MQTT_BROKER_HOST": HOST, "NO_PROXY": HOST, **settings}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def stack_settings(stack: Stack) -> dict[str, object]:
    """The settings for a stack's broker and telemetry."""
    return {
        "MQTT_BROKER_PORT": stack.mosquitto.port,
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_EXPORTER_OTLP_ENDPOINT": stack.otlp_url,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    }


def scout_settings(stack: Stack, **other: str) -> dict[str, object]:
    """The four settings of a stack's Collector, with some changes."""
    return {"SCOUT_SECRET_NAME": "demo-scout", **stack.scout_credentials, **other}


def test_a_working_stack_passes(stack: Stack) -> None:
    """The exit code is 0, and scout-sim has the four spans of the named trace."""
    code, printed = check(**stack_settings(stack), SCOUT_SIM_URL=stack.scout_url)
    assert (code, printed.splitlines()[-1]) == (0, "mqtt-trace-check: passed"), printed
    trace_id = printed.split("trace: ok, ")[1].split()[0]
    spans = httpx.get(f"{stack.scout_url}/api/traces/{trace_id}", trust_env=False).json()["spans"]
    assert len(spans) == 4


def test_an_address_may_end_in_a_slash(stack: Stack) -> None:
    """The address of scout-sim may be copied from a browser."""
    code, printed = check(**stack_settings(stack), SCOUT_SIM_URL=f"{stack.scout_url}/")
    assert code == 0, printed


def test_an_unreachable_address_is_named(stack: Stack) -> None:
    """The address is reported before the check publishes a reading, and the Collector is not blamed."""
    nowhere = f"http://{HOST}:{free_port()}"
    code, printed = check(**stack_settings(stack), SCOUT_SIM_URL=nowhere)
    assert code == 1
    first, last = printed.splitlines()
    assert first.startswith(f"mqtt-trace-check: trace: FAILED: {nowhere} cannot be reached: ")
    assert last == "mqtt-trace-check: next: check that scout-sim runs and that SCOUT_SIM_URL is its address"


@pytest.mark.parametrize("other", ["scout_url", "producer_url"])
def test_an_address_of_another_server_is_named(stack: Stack, other: str) -> None:
    """A server that answers with other JSON, or without JSON, is not accepted as scout-sim."""
    url = f"{getattr(stack, other)}/elsewhere"
    code, printed = check(**stack_settings(stack), SCOUT_SIM_URL=url)
    assert code == 1
    assert printed.splitlines()[0] == f"mqtt-trace-check: trace: FAILED: {url} is not scout-sim"


def test_a_backend_that_stops_is_named(make_stack: Callable[..., Stack]) -> None:
    """A scout-sim that is unreachable at the time-out is reported, and the Collector is not blamed."""
    stack = make_stack(producer=False)
    stack.stop("echo")  # so that the trace stays incomplete
    settings = {
        "MQTT_BROKER_HOST": HOST,
        **stack_settings(stack),
        "SCOUT_SIM_URL": stack.scout_url,
        "CHECK_TIMEOUT_S": 15,
    }
    with subprocess.Popen(
        [command("mqtt-trace-check")], env=environment(settings), stdout=subprocess.PIPE, text=True
    ) as checking:
        assert checking.stdout is not None
        assert any("export: ok" in line for line in checking.stdout)
        stack.kill("scout-sim")
        assert f"trace: FAILED: {stack.scout_url} cannot be reached: " in checking.stdout.read()
    assert checking.returncode == 1


def test_a_wrong_option_of_the_library_is_the_only_line() -> None:
    """The option is checked before telemetry is set up, whose warnings would come first."""
    code, printed = check(
        MQTT_TRACE_RELATION="sibling", OTEL_SDK_DISABLED="false", OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED="?"
    )
    assert code == 2
    assert printed == "mqtt-trace-check: MQTT_TRACE_RELATION: must be parent, link or both (got 'sibling')\n"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SCOUT_SIM_URL", f"{HOST}:4320"),
        ("SCOUT_SIM_URL", "localhost:4320"),
        ("COLLECTOR_METRICS_URL", f"http://{HOST}:88888/metrics"),
        ("COLLECTOR_METRICS_URL", "http://[::1"),
        ("COLLECTOR_METRICS_URL", "http:///metrics"),
        ("SCOUT_TOKEN_URL", "http://scout..example/token"),
        ("SCOUT_OTLP_ENDPOINT", "scout.example/otlp"),
    ],
)
def test_a_wrong_address_is_the_only_line(variable: str, value: str) -> None:
    """The variable and its value are named before the first step, and the exit code is 2."""
    code, printed = check(**{variable: value}, MQTT_BROKER_PORT=free_port(), CHECK_TIMEOUT_S=0.1)
    assert code == 2, printed
    assert printed == f"mqtt-trace-check: {variable}: must be an http(s):// address (got '{value}')\n"


class _Mail(socketserver.BaseRequestHandler):
    """Speaks another protocol than HTTP."""

    def handle(self) -> None:
        self.request.recv(65_536)
        self.request.sendall(b"220 mail.example ESMTP\r\n\r\n")


@contextmanager
def mail_server() -> Iterator[str]:
    """The address of a server that does not speak HTTP."""
    with socketserver.ThreadingTCPServer((HOST, 0), _Mail) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        try:
            yield f"http://{HOST}:{server.server_address[1]}"
        finally:
            server.shutdown()
            serving.join()


def test_the_reason_for_a_missing_token_is_named() -> None:
    """The error distinguishes a refused connection, an unknown name and a server of another protocol."""
    secret = {"SCOUT_SECRET_NAME": "demo-scout", "SCOUT_CLIENT_ID": "a", "SCOUT_CLIENT_SECRET": "b"}
    port = free_port()
    with mail_server() as mail:
        for url, cause in (
            (f"http://{HOST}:{port}", f"cannot connect to {HOST}:{port}: Connection refused"),
            (f"http://no-such-host.invalid:{port}", f"cannot connect to no-such-host.invalid:{port}: "),
            (mail, "the answer is not HTTP: Bad status line: "),
        ):
            settings = {"SCOUT_TOKEN_URL": url, "SCOUT_OTLP_ENDPOINT": url, "NO_PROXY": "*"}
            code, printed = check(**secret, **settings)
            assert code == 1
            assert printed.splitlines()[0].startswith(
                f"mqtt-trace-check: credentials: FAILED: {url} gives no token: {cause}"
            )


def test_a_server_that_is_neither_scout_sim_nor_a_collector_is_named(stack: Stack) -> None:
    """A server of another protocol is reached, and is not scout-sim; a page that is not there has no counters."""
    with mail_server() as mail:
        code, printed = check(SCOUT_SIM_URL=mail)
        assert (code, printed.splitlines()[0]) == (1, f"mqtt-trace-check: trace: FAILED: {mail} is not scout-sim")
    code, printed = check(COLLECTOR_METRICS_URL=f"{stack.scout_url}/nowhere")
    assert code == 1
    assert printed.splitlines()[0].endswith("cannot be read: answered 404")


def test_an_unreachable_broker_fails_the_first_step() -> None:
    """The output names the step, the broker's address and the next command."""
    port = free_port()
    code, printed = check(MQTT_BROKER_PORT=port, CHECK_TIMEOUT_S=1, NEXT_BROKER="kubectl logs mosquitto-0")
    assert code == 1
    assert f"connect: FAILED: {HOST}:{port}: " in printed
    assert printed.splitlines()[-1] == "mqtt-trace-check: next: kubectl logs mosquitto-0"


def test_ctrl_c_is_quiet() -> None:
    """Ctrl-C during a step ends the check with exit code 130 and without output."""
    with socket.create_server((HOST, 0)) as silent:
        silent.settimeout(30)
        settings = {"MQTT_BROKER_HOST": HOST, "MQTT_BROKER_PORT": silent.getsockname()[1]}
        with subprocess.Popen(
            [command("mqtt-trace-check")],
            env=environment(settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as checking:
            connection, _ = silent.accept()
            with connection:
                connection.settimeout(30)
                connection.recv(1)  # it has sent CONNECT and waits for the answer
                checking.send_signal(signal.SIGINT)
                printed, _ = checking.communicate(timeout=30)
    assert (checking.returncode, printed) == (130, "")


def test_a_reading_without_subscribers_is_reported(broker: Mosquitto) -> None:
    """A PUBACK with 0x10 fails the publish step, and the next step is that for the consumer."""
    code, printed = check(MQTT_BROKER_PORT=broker.port, NEXT_CONSUMER="kubectl logs consumer-0")
    assert code == 1
    assert re.search("publish: FAILED: sensors/check-.*/reading has no subscribers$", printed, re.MULTILINE)
    assert printed.splitlines()[-1] == "mqtt-trace-check: next: kubectl logs consumer-0"


def test_a_refused_publish_is_reported(make_broker: Callable[..., Mosquitto]) -> None:
    """A PUBACK with 0x87 fails the publish step with that code."""
    broker = make_broker(users={"producer": "secret"}, acl=["user producer", "topic read sensors/#"])
    code, printed = check(MQTT_BROKER_PORT=broker.port, MQTT_USERNAME="producer", MQTT_PASSWORD="secret")  # noqa: S106 - of this test's own broker
    assert code == 1
    assert "publish: FAILED: the broker refused sensors/check-" in printed
    assert "0x87" in printed


@needs_collector
def test_an_unreachable_collector_fails_the_export(stack: Stack) -> None:
    """The export step fails when the Collector does not answer."""
    nowhere = f"http://{HOST}:{free_port()}"
    code, printed = check(
        **{**stack_settings(stack), "OTEL_EXPORTER_OTLP_ENDPOINT": nowhere}, SCOUT_SIM_URL=stack.scout_url
    )
    assert code == 1
    assert "export: FAILED: the publish span did not reach the Collector" in printed


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"OTEL_SDK_DISABLED": "true"}, "traces are not exported: OTEL_SDK_DISABLED is true"),
        ({"OTEL_TRACES_EXPORTER": "none"}, "traces are not exported: OTEL_TRACES_EXPORTER is none"),
        (
            {"OTEL_TRACES_SAMPLER": "always_off"},
            "the publish span is not sampled: OTEL_TRACES_SAMPLER=always_off excludes this reading",
        ),
        (
            {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"},
            "the publish span is not sampled: OTEL_TRACES_SAMPLER=traceidratio excludes this reading",
        ),
    ],
)
def test_a_span_without_export_fails_the_export(stack: Stack, changed: dict[str, object], problem: str) -> None:
    """The output names the variable that prevents the export, and the next step is to remove it."""
    code, printed = check(**{**stack_settings(stack), **changed})
    assert code == 1, printed
    assert printed.splitlines()[-2:] == [
        f"mqtt-trace-check: export: FAILED: {problem}",
        "mqtt-trace-check: next: run this check again without that variable",
    ]


@needs_collector
def test_the_collectors_counters_prove_delivery_to_scout(stack: Stack) -> None:
    """Without scout-sim's queries, the check passes when the Collector has sent spans and none has failed."""
    code, printed = check(
        **stack_settings(stack), **scout_settings(stack), COLLECTOR_METRICS_URL=stack.collector_metrics_url
    )
    assert code == 0, printed
    assert "credentials: ok" in printed
    assert "delivery: ok" in printed


@needs_collector
def test_a_wrong_client_secret_is_reported(stack: Stack) -> None:
    """The output has the answer of the token endpoint."""
    code, printed = check(**stack_settings(stack), **scout_settings(stack, SCOUT_CLIENT_SECRET="wrong"))  # noqa: S106 - wrong on purpose
    assert code == 1
    assert "credentials: FAILED: " in printed
    assert "answered 401" in printed


@needs_collector
def test_a_missing_key_of_the_secret_is_named(stack: Stack) -> None:
    """The output names the Secret, the key and the next command."""
    settings = {
        **stack_settings(stack),
        **scout_settings(stack, SCOUT_TOKEN_URL=""),
        "NEXT_SECRET": "kubectl describe secret demo-scout",
    }
    code, printed = check(**settings)
    assert code == 1
    assert "credentials: FAILED: Secret demo-scout has no token-url" in printed
    assert printed.splitlines()[-1] == "mqtt-trace-check: next: kubectl describe secret demo-scout"


@needs_collector
def test_a_collector_that_sends_nothing_is_reported(make_stack: Callable[..., Stack]) -> None:
    """Spans that stay in the Collector's queue fail the delivery."""
    stack = make_stack(producer=False)
    stack.stop("scout-sim")
    code, printed = check(**stack_settings(stack), COLLECTOR_METRICS_URL=stack.collector_metrics_url, CHECK_TIMEOUT_S=2)
    assert code == 1
    assert "delivery: FAILED: the Collector has the spans and sends none to Scout" in printed
