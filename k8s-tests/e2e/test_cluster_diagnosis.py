"""The status of a fleet names the reason why its pods do not run."""

from e2e.reconciling import Fleets, with_volume


def test_an_image_that_is_not_there_shows(fleets: Fleets) -> None:
    """`kubectl get fleet` prints the name of a pod and the image that it cannot pull."""
    fleets.apply()
    both = "demo-0 and 1 more: cannot pull image mqtt-trace-nowhere:1: "
    message = fleets.reconcile_until("Ready", "ImagePullBackOff", message=both)["message"]
    assert message in fleets.kubectl("get", "fleet", "demo")


def test_a_pod_without_a_place_shows(fleets: Fleets) -> None:
    """The message has the words of the scheduler."""
    fleets.apply(replicas=1, resources={"requests": {"cpu": "9000"}})
    condition = fleets.reconcile_until("Ready", "Unschedulable")
    assert condition["message"].startswith("demo-0: cannot be scheduled: ")
    assert "Insufficient cpu" in condition["message"]


def test_a_volume_that_cannot_be_mounted_shows(fleets: Fleets) -> None:
    """The message names the Secret that the namespace of the fleet lacks."""
    secret = {"name": "ca", "secret": {"secretName": "nowhere"}}
    lacking = Fleets(fleets.kubectl, with_volume(secret))
    lacking.apply(replicas=1)
    message = lacking.reconcile_until("Ready", "FailedMount")["message"]
    assert message.startswith("demo-0: ")
    assert 'secret "nowhere" not found' in message


def test_a_quota_that_pods_exceed_shows_until_they_fit(fleets: Fleets) -> None:
    """The message names the quota until the fleet needs fewer pods."""
    fleets.kubectl("create", "quota", "few", "--hard=pods=1")
    # Until then, the API server may admit more pods.
    fleets.kubectl("wait", "quota/few", "--for=jsonpath={.status.hard.pods}=1", "--timeout=60s")
    fleets.apply()
    condition = fleets.reconcile_until("Ready", "FailedCreate")
    assert "cannot be created: forbidden: exceeded quota: few" in condition["message"]
    fleets.kubectl("scale", "fleet/demo", "--replicas=2")
    fleets.reconcile_until("Ready", "ImagePullBackOff")


def test_a_child_that_the_api_server_refuses_stalls_the_fleet(fleets: Fleets) -> None:
    """The API server's own message says why it refuses what the schema accepts."""
    resources = {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}
    fleets.apply(resources=resources)
    fleets.reconcile()
    stalled = fleets.condition("Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "Refused")
    assert "must be less than or equal to memory limit" in stalled["message"]
    fleets.apply()
    fleets.reconcile()
    assert fleets.condition("Stalled")["status"] == "False"
