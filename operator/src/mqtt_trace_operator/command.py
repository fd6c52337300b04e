"""The work of the command `mqtt-trace-operator`."""

import asyncio
import logging
from contextlib import AsyncExitStack, suppress

import httpx2
import kopf
from lightkube import ApiError
from lightkube.core.exceptions import ConfigError
from mqtt_trace_service import HealthServer, load, run, telemetry

from mqtt_trace import ConfigurationError
from mqtt_trace_operator.children import PodTemplate
from mqtt_trace_operator.cluster import Cluster
from mqtt_trace_operator.handlers import build_registry, operator_settings
from mqtt_trace_operator.identity.broker_users import BrokerObjects, BrokerUsers
from mqtt_trace_operator.identity.certificates import Authority
from mqtt_trace_operator.identity.identities import Identities
from mqtt_trace_operator.identity.takeover import CertificateListener, Takeover
from mqtt_trace_operator.metrics import FleetMetrics
from mqtt_trace_operator.probe import Probe
from mqtt_trace_operator.reconcile import Reconciler
from mqtt_trace_operator.recorder import recorded
from mqtt_trace_operator.sensors import Sensors
from mqtt_trace_operator.settings import OperatorSettings
from mqtt_trace_operator.workers import Key, Workers

PROGRAM = "mqtt-trace-operator"

_CRD_RETRY_S = 2.0

_logger = logging.getLogger(__name__)


def main() -> None:
    """Run the operator until SIGTERM."""
    settings = load(OperatorSettings, PROGRAM)
    run(lambda stop: operate(settings, stop), PROGRAM)


async def operate(settings: OperatorSettings, stop: asyncio.Event) -> None:
    """Reconcile the fleets of some namespaces, or of the whole cluster, until `stop`.

    Raises:
        mqtt_trace.ConfigurationError: A setting cannot be used.
    """
    template = PodTemplate.read(settings.pod_template_file, settings.broker_certificates_port)
    authority = Authority.read(settings.sensors_ca_dir) if settings.sensors_ca_dir else None
    cluster = _cluster()
    providers = telemetry.setup(PROGRAM, log_level=settings.log_level)
    try:
        async with AsyncExitStack() as resources:
            resources.push_async_callback(cluster.close)
            sensors = Sensors(template.health_port)
            resources.push_async_callback(sensors.close)
            tracer = providers.tracer_provider.get_tracer("mqtt_trace_operator")
            takeover = _takeover(settings, authority)
            identities = Identities(cluster, _broker_users(cluster, settings), authority, takeover)
            reconcile = Reconciler(cluster, sensors, template, identities).reconcile
            workers = Workers(recorded(reconcile, tracer, FleetMetrics()))
            probe = Probe(workers, cluster)
            await resources.enter_async_context(
                HealthServer(settings.health_host, settings.health_port, probe.status, probe.alive)
            )
            await _wait_for_crd(cluster, settings.watch_namespace, stop)
            if not stop.is_set():
                await _enqueue_known(identities, settings.watch_namespace, workers)
                await kopf.operator(
                    registry=build_registry(workers, stop),
                    settings=operator_settings(),
                    clusterwide=settings.watch_namespace is None,
                    namespaces=settings.watch_namespace or (),
                    stop_flag=stop,
                    ready_flag=probe.watching,
                )
    finally:
        await asyncio.to_thread(providers.shutdown)


def _broker_users(cluster: Cluster, settings: OperatorSettings) -> BrokerUsers | None:
    namespace, secret, pod = settings.broker_namespace, settings.broker_sensors_secret, settings.broker_pod
    if namespace is None or secret is None or pod is None:
        return None
    return BrokerUsers(cluster, BrokerObjects(namespace, secret, pod))


def _takeover(settings: OperatorSettings, authority: Authority | None) -> Takeover | None:
    host, port, ca_file = settings.broker_host, settings.broker_certificates_port, settings.broker_ca_file
    if authority is None or host is None or port is None or ca_file is None:
        return None
    return Takeover(CertificateListener(host, port, ca_file), authority)


async def _enqueue_known(identities: Identities, namespaces: tuple[str, ...] | None, workers: Workers) -> None:
    """Enqueue the fleets that the broker knows: those that were deleted meanwhile cause no event."""
    try:
        known = await identities.find_fleets()
    except (ApiError, httpx2.HTTPError) as error:
        _logger.warning("users of deleted fleets stay in the broker: %s", error)
        return
    for namespace, name in known:
        if namespaces is None or namespace in namespaces:
            workers.enqueue(Key(namespace, name))


def _cluster() -> Cluster:
    try:
        return Cluster()
    except ConfigError as error:
        raise ConfigurationError(variable="KUBECONFIG", problem=f"gives access to no cluster: {error}") from error


async def _wait_for_crd(cluster: Cluster, namespaces: tuple[str, ...] | None, stop: asyncio.Event) -> None:
    """Wait until the fleets of all namespaces can be listed: kopf tries only once.

    CRD and roles may be installed together with the operator.
    """
    logged = ""
    while not stop.is_set():
        problem = await _find_problem(cluster, namespaces)
        if problem is None:
            return
        if problem != logged:
            _logger.warning("%s; waiting", problem)
            logged = problem
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _CRD_RETRY_S)


async def _find_problem(cluster: Cluster, namespaces: tuple[str, ...] | None) -> str | None:
    for namespace in namespaces or (None,):
        try:
            if not await cluster.has_crd(namespace):
                return "the cluster has no SensorFleet: install the CRD (crds.enabled)"
        except (ApiError, httpx2.HTTPError) as error:
            where = "" if namespace is None else f" in {namespace}"
            return f"fleets{where} cannot be listed: {error}"
    return None
