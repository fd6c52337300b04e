"""One cluster, one installed chart, and a client of its backend, for the whole session.

`E2E_EXISTING=1` takes the cluster of KUBECONFIG instead of kind. It has to have the images, or to find them in the
registry that `E2E_IMAGE_REGISTRY` names.
"""

import os
import re
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from e2e import evidence
from e2e.reconciling import Fleets
from e2e.release import Release, until
from local import cluster
from local.commands import CommandError, Helm, Kubectl, need
from local.forward import PortForward
from local.scout import Scout

NAMESPACE = "mqtt-trace-e2e"

_failures = Path(tempfile.gettempdir()) / f"mqtt-trace-e2e-{os.getpid()}"


@pytest.fixture(scope="session")
def kubeconfig(pytestconfig: pytest.Config) -> Path | None:
    """The configuration of a cluster that has the images; None for kubectl's own choice."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    try:
        if os.environ.get("E2E_EXISTING") == "1":
            need("kubectl", "helm")
            return None
        with capture.global_and_fixture_disabled():
            cluster.prepare(lambda line: sys.stdout.write(f"e2e: {line}\n"))
    except CommandError as error:
        pytest.exit(f"e2e: {error}", returncode=2)
    return cluster.KUBECONFIG


@pytest.fixture(scope="session")
def options() -> tuple[str, ...]:
    """The Helm values of this cluster."""
    registry = os.environ.get("E2E_IMAGE_REGISTRY")
    return ("--set", f"global.imageRegistry={registry}") if registry else ()


@pytest.fixture(scope="session")
def make_namespace(kubeconfig: Path | None) -> Callable[[str], Kubectl]:
    """Create a namespace that enforces the Pod Security Standard `restricted`; delete one of the same name first."""

    def make(name: str) -> Kubectl:
        kubectl = Kubectl(kubeconfig, name)
        kubectl("delete", "namespace", name, "--ignore-not-found", "--wait")
        kubectl("create", "namespace", name)
        kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
        return kubectl

    return make


@pytest.fixture(scope="session")
def release(make_namespace: Callable[[str], Kubectl], options: tuple[str, ...]) -> Release:
    """The chart, installed as `demo` and ready; it remains after the tests."""
    kubectl = make_namespace(NAMESPACE)
    installed = Release("demo", Helm(kubectl.kubeconfig, NAMESPACE), kubectl, options)
    installed.apply()
    return installed


@pytest.fixture(scope="session")
def open_scout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Release], Scout]]:
    """Open the query API of a release's scout-sim, which survives a restart of the pod."""
    with ExitStack() as opened:

        def open_api(release: Release) -> Scout:
            log = tmp_path_factory.mktemp("forward") / "port-forward.log"
            forward = PortForward(release.kubectl, release.object("scout-sim"), 4320, log)
            return opened.enter_context(Scout(forward.url, forward))

        yield open_api


@pytest.fixture(scope="session")
def scout(release: Release, open_scout: Callable[[Release], Scout]) -> Scout:
    """The query API of the installed chart's scout-sim."""
    return open_scout(release)


@pytest.fixture(scope="session")
def unattended(release: Release, make_namespace: Callable[[str], Kubectl]) -> Kubectl:
    """A namespace without an operator, in a cluster with the CRD."""
    assert release.kubectl("get", "crd", "sensorfleets.mqtt-trace.io", "--output=name")
    return make_namespace(f"{NAMESPACE}-reconcile")


@pytest.fixture
def fleets(unattended: Kubectl) -> Iterator[Fleets]:
    """The fleets in it, which the end of the test deletes."""
    yield Fleets(unattended)
    unattended("delete", "fleet", "--all", "--wait")
    unattended("delete", "resourcequota", "--all", "--wait")
    until(lambda: not unattended("get", "statefulset,pod", "--output=name"), "the children are gone", 120)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Save the state of the cluster when a test fails, and name the folder in the report."""
    report = yield
    fixtures = getattr(item, "funcargs", {})
    if report.failed and call.when == "call":
        for release in [fixture for fixture in fixtures.values() if isinstance(fixture, Release)]:
            folder = _failures / re.sub(r"\W+", "-", item.name) / release.kubectl.namespace
            evidence.keep(release, fixtures.get("scout"), folder)
            report.sections.append(("what the cluster said", str(folder)))
    return report
