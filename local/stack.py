"""The whole stack as processes: Mosquitto, scout-sim, the Collector when it is installed, echo, consumer, producer."""

import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from local.interrupts import held_back
from local.mosquitto import Mosquitto
from local.ports import HOST, free_port
from local.services import Env, Service, inherited, script

COLLECTOR = "otelcol-contrib"
TENANT = "demo"
CLIENT_ID = "local-stack"

_COLLECTOR_CONFIG = Path(__file__).with_name("collector.yaml")
_MONITORING_CONFIG = Path(__file__).parents[1] / "charts" / "mqtt-trace" / "files" / "collector-monitoring.yaml"


class Stack:
    """All parts on free ports, each started when the previous one is ready, and stopped in reverse order.

    Parts are `mosquitto`, `scout-sim`, `collector`, `broker-metrics` (with `monitoring`), `echo`, `consumer` and
    `producer`: `start`, `stop`, `kill` and `restart` take their names, and a part comes back on its own port with its
    own data. There are parts, and a folder, from the first start on.

    Args:
        devices: Number of simulated sensors.
        interval_s: Seconds between two readings of a sensor.
        producer: Whether the producer is started with the rest.
        collector: Whether a Collector stands between services and scout-sim; by default when it is installed.
        monitoring: Whether the Collector has the services' and the broker's metrics for Prometheus, at
            `prometheus_url`.
        env: Further environment variables by part.
        folder: Where data and logs go. A temporary folder by default, removed at the end unless there was an error and
            a log that may have more about it.
        on_start: Called with the name of each part before it is started.
    """

    mosquitto: Mosquitto

    def __init__(
        self,
        *,
        devices: int = 1,
        interval_s: float = 1.0,
        producer: bool = True,
        collector: bool | None = None,
        monitoring: bool = False,
        env: Mapping[str, Mapping[str, str]] | None = None,
        folder: Path | None = None,
        on_start: Callable[[str], None] | None = None,
    ) -> None:
        self.devices = devices
        self.interval_s = interval_s
        self.has_collector = bool(shutil.which(COLLECTOR)) if collector is None else collector
        self.folder = folder or Path(tempfile.gettempdir()) / f"mqtt-trace-{secrets.token_hex(8)}"
        self._temporary = folder is None
        self._monitoring = monitoring
        self._env = env or {}
        self._on_start = on_start
        self._secret = secrets.token_hex(16)
        self._ports = {
            name: free_port()
            for name in (
                *("scout-sim", "otlp", "grpc", "health", "metrics", "prometheus"),
                *("broker-metrics", "echo", "consumer", "producer"),
            )
        }
        self.parts: dict[str, Mosquitto | Service] = {}
        self._started: set[str] = set()
        self._with_producer = producer

    @property
    def scout_url(self) -> str:
        """Base address of scout-sim: its pages, and its queries below `/api`."""
        return self._url("scout-sim")

    @property
    def otlp_url(self) -> str:
        """The services' OTLP/HTTP endpoint."""
        return self._url("otlp" if self.has_collector else "scout-sim")

    @property
    def collector_metrics_url(self) -> str:
        """The address of the Collector's own metrics, in Prometheus' format."""
        return f"{self._url('metrics')}/metrics"

    @property
    def prometheus_url(self) -> str:
        """The address of the metrics that the Collector receives, in Prometheus' format."""
        return f"{self._url('prometheus')}/metrics"

    @property
    def scout_credentials(self) -> Env:
        """The variables that the Collector gets from its Secret in production."""
        return {
            "SCOUT_CLIENT_ID": CLIENT_ID,
            "SCOUT_CLIENT_SECRET": self._secret,
            "SCOUT_TOKEN_URL": f"{self.scout_url}/realms/{TENANT}/protocol/openid-connect/token",
            "SCOUT_OTLP_ENDPOINT": f"{self.scout_url}/{TENANT}/otlp",
        }

    @property
    def consumer_url(self) -> str:
        """The consumer's readiness, with its counts."""
        return f"{self._url('consumer')}/ready"

    @property
    def producer_url(self) -> str:
        """The producer's readiness, with its counts."""
        return f"{self._url('producer')}/ready"

    def start(self, name: str) -> None:
        """Start one part and return when it is ready.

        Raises:
            ProcessError: it did not become ready; the message has its name, the cause and its log.
        """
        self._prepare()
        if self._on_start:
            self._on_start(name)
        self.parts[name].start()
        self._started.add(name)

    def stop(self, name: str) -> None:
        """Stop one part with SIGTERM."""
        self._started.discard(name)
        self.parts[name].stop()

    def kill(self, name: str) -> None:
        """Stop one part with SIGKILL."""
        self._started.discard(name)
        self.parts[name].kill()

    def restart(self, name: str) -> None:
        """Stop one part with SIGTERM and start it again."""
        self.stop(name)
        self.start(name)

    def check(self) -> None:
        """Do nothing while every part that was started runs.

        Raises:
            ProcessError: one has ended by itself; the message has its name, the cause and its log.
        """
        for name in self._started:
            self.parts[name].check()

    def log(self, name: str) -> str:
        """The output of a part so far."""
        part = self.parts[name]
        return part.log if isinstance(part, Mosquitto) else part.output()

    def __enter__(self) -> Self:
        try:
            self._prepare()
            for name in self.parts:
                if self._with_producer or name != "producer":
                    self.start(name)
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with held_back():
            self.close()
            is_error = isinstance(exc, Exception)  # Ctrl-C is no error
            if self._temporary and self.folder.is_dir() and not (is_error and any(self.folder.rglob("*.log"))):
                shutil.rmtree(self.folder)

    def close(self) -> None:
        """Stop the parts in reverse order of their start, so that each can still deliver its data."""
        for part in reversed(self.parts.values()):
            part.stop()

    def _prepare(self) -> None:
        if self.parts:
            return
        if self._temporary:
            self.folder.mkdir(mode=0o700)
        (self.folder / "mosquitto").mkdir()
        # The limit is small, so that a test can exceed it.
        config = ["sys_interval 1", "max_queued_messages 2000"] if self._monitoring else []
        self.mosquitto = Mosquitto(folder=self.folder / "mosquitto", config=config)
        self.parts = {"mosquitto": self.mosquitto, "scout-sim": self._scout_sim()}
        if self.has_collector:
            self.parts["collector"] = self._collector()
        if self._monitoring:
            self.parts["broker-metrics"] = self._broker_metrics()
        self.parts |= {"echo": self._echo(), "consumer": self._consumer(), "producer": self._producer()}

    def _url(self, name: str) -> str:
        return f"http://{HOST}:{self._ports[name]}"

    def _service(self, name: str, command: Sequence[str], env: Env, ready_url: str) -> Service:
        no_proxy = {"NO_PROXY": HOST, "no_proxy": HOST}  # every peer is on this machine
        return Service(
            name,
            command,
            log=self.folder / f"{name}.log",
            env={**inherited(os.environ), **no_proxy, **env, **self._env.get(name, {})},
            ready_url=ready_url,
        )

    def _scout_sim(self) -> Service:
        env = {
            "SCOUT_SIM_HOST": HOST,
            "SCOUT_SIM_PORT": str(self._ports["scout-sim"]),
            "SCOUT_SIM_TENANT": TENANT,
            "SCOUT_SIM_CLIENT_ID": CLIENT_ID,
            "SCOUT_SIM_CLIENT_SECRET": self._secret,
            "SCOUT_SIM_DATABASE": str(self.folder / "scout-sim.db"),
            "SCOUT_SIM_REQUIRE_TOKEN": "true" if self.has_collector else "false",
        }
        return self._service("scout-sim", [script("mqtt-trace-scout-sim")], env, f"{self.scout_url}/health")

    def _collector(self) -> Service:
        env = {
            "COLLECTOR_HOST": HOST,
            "COLLECTOR_GRPC_PORT": str(self._ports["grpc"]),
            "COLLECTOR_HTTP_PORT": str(self._ports["otlp"]),
            "COLLECTOR_HEALTH_PORT": str(self._ports["health"]),
            "COLLECTOR_METRICS_PORT": str(self._ports["metrics"]),
            "COLLECTOR_PROMETHEUS_PORT": str(self._ports["prometheus"]),
            "COLLECTOR_STORAGE": str(self.folder / "collector"),
            **self.scout_credentials,
        }
        configs = [_MONITORING_CONFIG, _COLLECTOR_CONFIG] if self._monitoring else [_COLLECTOR_CONFIG]
        command = [COLLECTOR, *(part for config in configs for part in ("--config", str(config)))]
        return self._service("collector", command, env, self._url("health"))

    def _broker_metrics(self) -> Service:
        env = {**self._telemetry(), **self._mqtt("broker-metrics")}
        command = [script("mqtt-trace-broker-metrics")]
        return self._service("broker-metrics", command, env, f"{self._url('broker-metrics')}/ready")

    def _echo(self) -> Service:
        env = {**self._telemetry(), "ECHO_HOST": HOST, "ECHO_PORT": str(self._ports["echo"])}
        return self._service("echo", [script("mqtt-trace-echo")], env, f"{self._url('echo')}/health")

    def _consumer(self) -> Service:
        env = {**self._telemetry(), **self._mqtt("consumer"), "ECHO_URL": f"{self._url('echo')}/echo"}
        return self._service("consumer", [script("mqtt-trace-consumer")], env, self.consumer_url)

    def _producer(self) -> Service:
        simulated = {"DEVICE_COUNT": str(self.devices), "PUBLISH_INTERVAL_S": str(self.interval_s)}
        env = {**self._telemetry(), **self._mqtt("producer"), **simulated}
        return self._service("producer", [script("mqtt-trace-producer")], env, self.producer_url)

    def _mqtt(self, name: str) -> Env:
        broker = {"MQTT_BROKER_HOST": self.mosquitto.host, "MQTT_BROKER_PORT": str(self.mosquitto.port)}
        return {**broker, "HEALTH_HOST": HOST, "HEALTH_PORT": str(self._ports[name])}

    def _telemetry(self) -> Env:
        """The export settings, with short intervals: the defaults are 5 s and, for metrics, 60 s."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.otlp_url,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "OTEL_BLRP_SCHEDULE_DELAY": "200",
            "OTEL_METRIC_EXPORT_INTERVAL": "250",
        }
