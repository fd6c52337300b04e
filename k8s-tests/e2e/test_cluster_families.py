"""The address families of the kind cluster, which KIND_IP_FAMILY selects."""

import os
import subprocess
import sys
from ipaddress import ip_address

import pytest

from e2e.release import Release
from local.cluster import IP_FAMILY, ROOT

FAMILIES = {"ipv6": {"IPv6"}, "dual": {"IPv4", "IPv6"}}.get(IP_FAMILY or "", {"IPv4"})

pytestmark = pytest.mark.skipif(
    os.environ.get("E2E_EXISTING") == "1", reason="the families of a cluster that exists are its own"
)


def test_pods_and_services_have_the_addresses(release: Release) -> None:
    """Services and pods have an address of each family and no other."""
    services = release.kubectl.json("get", "services")["items"]
    assert {frozenset(service["spec"]["ipFamilies"]) for service in services} == {frozenset(FAMILIES)}
    (pod,) = release.pods("scout-sim")
    addresses = [ip_address(entry["ip"]) for entry in pod["status"]["podIPs"]]
    assert {f"IPv{address.version}" for address in addresses} == FAMILIES


def test_an_unknown_family_is_named() -> None:
    """`make up` ends with one line, which has kind's words about the family."""
    done = subprocess.run(
        [sys.executable, "-m", "local", "up"],
        cwd=ROOT,
        env={**os.environ, "KIND_IP_FAMILY": "ipv7"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.endswith("invalid ipFamily: ipv7")
