"""What the API server says of a SensorFleet before the operator sees it."""

import json
from typing import Any

import pytest

from e2e.reconciling import manifest
from e2e.release import Release
from local.commands import CommandError

DEFAULTS = {
    "replicas": 3,
    "sensorsPerPod": 100,
    "interval": "2s",
    "qos": 1,
    "topicTemplate": "sensors/{device_id}/reading",
    "tenant": "acme",
    "site": "site-hq",
    "priority": "normal",
    "firmware": "1.4.2",
    "battery": 100,
    "faults": {"missingContext": 0, "malformedContext": 0, "mqtt311": 0},
    "identity": {"type": "Shared"},
    "paused": False,
}


def dry_run(release: Release, name: str, **spec: Any) -> Any:
    """Return the stored form of a fleet with this spec."""
    fleet = manifest(name) | {"spec": spec}
    command = ["apply", "--dry-run=server", "--filename", "-", "--output", "json"]
    return json.loads(release.kubectl(*command, stdin=json.dumps(fleet)))


def test_a_fleet_needs_only_a_number(release: Release) -> None:
    """Every field except `replicas` has a default, also each fault."""
    assert dry_run(release, "schema", replicas=3)["spec"] == DEFAULTS
    faults = dry_run(release, "schema", replicas=3, faults={"mqtt311": 5})["spec"]["faults"]
    assert faults == {"missingContext": 0, "malformedContext": 0, "mqtt311": 5}


@pytest.mark.parametrize(
    "spec",
    [
        {"replicas": 0},
        {"replicas": 10000},
        {"replicas": 200, "sensorsPerPod": 1},
        {"interval": "10ms"},
        {"interval": "24h"},
        {"interval": "1440m"},
        {"topicTemplate": "{device_id}"},
        {"topicTemplate": "plant/7/{device_id}/temperature"},
        {"faults": {"missingContext": 50, "malformedContext": 30, "mqtt311": 20}},
        {"env": [{"name": "LOG_LEVEL", "value": "DEBUG"}, {"name": "EMPTY", "value": ""}]},
        {"resources": {"requests": {"cpu": 1, "memory": "64Mi"}, "limits": {"memory": "1.5Gi"}}},
        {"image": "registry.example.com:5000/mine@sha256:abc", "imagePullPolicy": "Always"},
        {"identity": {"type": "Password", "revoked": [0, 9999]}},
        {"identity": {"type": "Password", "secretName": "mine"}},
        {"identity": {"type": "Certificate", "revoked": [7]}},
    ],
)
def test_what_can_work_is_accepted(release: Release, spec: dict[str, Any]) -> None:
    """The schema accepts the bounds themselves."""
    stored = dry_run(release, "schema", **{"replicas": 3, **spec})["spec"]
    assert {key: stored[key] for key in spec} == spec


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({}, "spec.replicas: Required value"),
        ({"replicas": -1}, "spec.replicas in body should be greater than or equal to 0"),
        ({"replicas": 10001}, "spec.replicas in body should be less than or equal to 10000"),
        ({"replicas": 201, "sensorsPerPod": 1}, "must not exceed 200, the maximum number of pods of a fleet"),
        ({"sensorsPerPod": 0}, "spec.sensorsPerPod in body should be greater than or equal to 1"),
        ({"interval": "soon"}, "spec.interval in body should match"),
        ({"interval": "1m30s"}, "spec.interval in body should match"),
        ({"interval": "9ms"}, "interval must be between 10ms and 24h"),
        ({"interval": "25h"}, "interval must be between 10ms and 24h"),
        ({"qos": 3}, "spec.qos in body should be less than or equal to 2"),
        ({"topicTemplate": "sensors/reading"}, "spec.topicTemplate in body should match"),
        ({"topicTemplate": "sensors/+/{device_id}"}, "spec.topicTemplate in body should match"),
        ({"topicTemplate": "{device_id}/{device_id}"}, "spec.topicTemplate in body should match"),
        ({"topicTemplate": "$SYS/{device_id}"}, "spec.topicTemplate in body should match"),
        ({"tenant": ""}, "spec.tenant in body should be at least 1 chars long"),
        ({"priority": "urgent"}, 'supported values: "critical", "high", "normal", "low"'),
        ({"battery": 101}, "spec.battery in body should be less than or equal to 100"),
        ({"faults": {"mqtt311": 101}}, "spec.faults.mqtt311 in body should be less than or equal to 100"),
        ({"faults": {"missingContext": 60, "mqtt311": 41}}, "the sum of the faults must not exceed 100 percent"),
        ({"identity": {"type": "Token"}}, "spec.identity.type: Unsupported value"),
        ({"identity": {"revoked": [1]}}, "identity.revoked needs credentials that the operator makes"),
        ({"identity": {"type": "Password", "secretName": "x", "revoked": [1]}}, "neither type Shared nor secretName"),
        ({"identity": {"secretName": "x"}}, "identity.secretName has no effect with type Shared"),
        ({"identity": {"type": "Password", "revoked": [1, 1]}}, "spec.identity.revoked[1]: Duplicate value"),
        ({"faults": {"mqtt31": 1}}, 'unknown field "spec.faults.mqtt31"'),
        ({"intervall": "2s"}, 'unknown field "spec.intervall"'),
        ({"image": "mine: 1"}, "spec.image in body should match"),
        ({"env": [{"name": "FLEET_FILE"}]}, "are reserved for the operator"),
        ({"env": [{"name": "PUBLISH_QOS", "value": "0"}]}, "as fields of the fleet, not as"),
        ({"env": [{"name": "A"}, {"name": "A"}]}, 'Duplicate value: {"name":"A"}'),
        ({"env": [{"name": "A B"}]}, "spec.env[0].name in body should match"),
        ({"resources": {"limits": {"memory": "much"}}}, "spec.resources.limits.memory in body should match"),
        ({"resources": {"limits": {"memory": "9" * 23}}}, "spec.resources.limits.memory in body should match"),
        ({"resources": {"limits": {"cpu": "500u"}}}, "spec.resources.limits.cpu in body should match"),
        ({"resources": {"requests": {"memory": "1E3"}}}, "spec.resources.requests.memory in body should match"),
        ({"resources": {"requests": {"cpu": "-1"}}}, "spec.resources.requests.cpu in body should match"),
    ],
)
def test_what_cannot_work_is_refused_with_its_place(release: Release, spec: dict[str, Any], words: str) -> None:
    """`kubectl apply` names the invalid field, or the rule that several fields break."""
    given = spec if not spec else {"replicas": 3, **spec}
    with pytest.raises(CommandError) as refused:
        dry_run(release, "schema", **given)
    assert words in refused.value.output


@pytest.mark.parametrize("name", ["a.b", "a" * 51])
def test_a_name_that_pods_could_not_have_is_refused(release: Release, name: str) -> None:
    """A fleet's name must leave its pods valid host names."""
    with pytest.raises(CommandError) as refused:
        dry_run(release, name, replicas=3)
    assert "a fleet's name must have at most 50 characters" in refused.value.output
