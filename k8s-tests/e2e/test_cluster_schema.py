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

PHASE: dict[str, Any] = {"name": "only", "duration": "1s"}
REFUSED_PHASES: list[tuple[dict[str, Any], str]] = [
    ({"duration": "0s"}, "the duration of a phase must be between 1s and 24h"),
    ({"duration": "soon"}, "spec.scenario.phases[0].duration in body should match"),
    ({"replicas": 10001}, "replicas of a phase must be between 0 and 10000"),
    ({"replicas": -1}, "replicas of a phase must be between 0 and 10000"),
    ({"interval": "9ms"}, "interval must be between 10ms and 24h"),
    ({"churn": 101}, "churn must be between 0 and 100 percent of the sensors per minute"),
    (
        {"faults": {"mqtt311": 60, "missingContext": 41}},
        "the sum of the faults must not exceed 100 percent",
    ),
    ({"transition": "Linear"}, "a Linear transition needs replicas or interval"),
    ({"transition": "Sudden"}, 'supported values: "Linear", "Step"'),
    ({"payload": {"padding": 1000001}}, "padding must be between 0 and 1000000 bytes"),
    ({"payload": {"min": 30}}, "min and max must be given together"),
    ({"payload": {"min": 3, "max": 3}}, "min must be less than max"),
    ({"payload": {"distribution": "sine", "step": 1}}, "step is a parameter of the distribution walk"),
    ({"payload": {"amplitude": 1}}, "amplitude and period are parameters of the distribution sine"),
]


def dry_run(release: Release, name: str, **spec: Any) -> Any:
    """Return the stored form of a fleet with this spec."""
    fleet = manifest(name) | {"spec": spec}
    command = ["apply", "--dry-run=server", "--filename", "-", "--output", "json"]
    return json.loads(release.kubectl(*command, stdin=json.dumps(fleet)))


def contains(stored: Any, given: Any) -> bool:
    """Whether everything that was given is stored, possibly with defaults in addition."""
    if isinstance(given, dict):
        return all(key in stored and contains(stored[key], given[key]) for key in given)
    if isinstance(given, list):
        return len(stored) == len(given) and all(map(contains, stored, given))
    return bool(stored == given)


def test_a_fleet_needs_only_a_number(release: Release) -> None:
    """Every field except `replicas` has a default, also each fault."""
    assert dry_run(release, "schema", replicas=3)["spec"] == DEFAULTS
    faults = dry_run(release, "schema", replicas=3, faults={"mqtt311": 5})["spec"]["faults"]
    assert faults == {"missingContext": 0, "malformedContext": 0, "mqtt311": 5}


def _expect(**thresholds: Any) -> dict[str, Any]:
    return {"scenario": {"phases": [{"name": "all", "duration": "10s"}]}, "expect": thresholds}


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
        {"scenario": {"phases": [PHASE], "repeat": 1000, "afterwards": "ScaleToZero"}},
        {"scenario": {"phases": [{**PHASE, "duration": "24h", "replicas": 10000, "churn": 100, "storm": True}]}},
        {"scenario": {"phases": [{**PHASE, "faults": {"missingContext": 50, "malformedContext": 25, "mqtt311": 25}}]}},
        {
            "scenario": {
                "phases": [{**PHASE, "payload": {"padding": 1000000, "distribution": "walk", "min": -1.5, "max": 2}}]
            }
        },
        {"image": "registry.example.com:5000/mine@sha256:abc", "imagePullPolicy": "Always"},
        {"identity": {"type": "Password", "revoked": [0, 9999]}},
        {"identity": {"type": "Password", "secretName": "mine"}, "target": {"host": "broker.example.com"}},
        {"identity": {"type": "Certificate", "revoked": [7]}},
        {"target": {"host": "broker.example.com", "port": 8883, "tls": True, "caSecret": "authority"}},
        {"target": {"host": "2001:db8::1", "tls": False, "usernameSecretRef": {"name": "a", "key": "b"}}},
    ],
)
def test_what_can_work_is_accepted(release: Release, spec: dict[str, Any]) -> None:
    """The schema accepts the bounds themselves."""
    stored = dry_run(release, "schema", **{"replicas": 3, **spec})["spec"]
    assert contains(stored, spec)


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
        ({"expect": {"lost": 0}}, "expect needs a scenario, which says what happens and when it ends"),
        (_expect(), "expect needs a threshold, such as lost or ageP95"),
        (_expect(drain="5s"), "expect needs a threshold, such as lost or ageP95"),
        (_expect(lost=-1), "spec.expect.lost in body should be greater than or equal to 0"),
        (_expect(ageP95="0s"), "a duration of expect must be more than 0s, such as 500ms"),
        (_expect(lost=0, drain="0s"), "a duration of expect must be more than 0s, such as 500ms"),
        (_expect(ageP95="soon"), "spec.expect.ageP95 in body should match"),
        (
            _expect(missingContext=[{"reason": "lost"}]),
            'supported values: "absent", "malformed", "duplicate", "mqtt311"',
        ),
        (_expect(lots=0), 'unknown field "spec.expect.lots"'),
        ({"target": {"port": 1883}}, "spec.target.host: Required value"),
        ({"target": {"host": "a b"}}, "spec.target.host in body should match"),
        ({"target": {"host": "a", "passwordSecretRef": {"name": "b", "key": "c"}}}, "needs a usernameSecretRef"),
        ({"target": {"host": "a", "caSecret": "b"}}, "caSecret needs tls: true"),
        (
            {"target": {"host": "a"}, "identity": {"type": "Password"}},
            "target needs identity.type Shared or an identity.secretName",
        ),
        (
            {"target": {"host": "a"}, "identity": {"type": "Certificate", "secretName": "b"}},
            "target with identity.type Certificate needs tls: true",
        ),
        ({"image": "mine: 1"}, "spec.image in body should match"),
        ({"env": [{"name": "FLEET_FILE"}]}, "are reserved for the operator"),
        ({"env": [{"name": "PUBLISH_QOS", "value": "0"}]}, "as fields of the fleet, not as"),
        ({"env": [{"name": "A"}, {"name": "A"}]}, 'Duplicate value: {"name":"A"}'),
        ({"env": [{"name": "A B"}]}, "spec.env[0].name in body should match"),
        ({"scenario": {}}, "spec.scenario.phases: Required value"),
        ({"scenario": {"phases": []}}, "spec.scenario.phases in body should have at least 1 items"),
        ({"scenario": {"phases": [PHASE, PHASE]}}, "the names of phases must be unique"),
        *(({"scenario": {"phases": [{**PHASE, **changes}]}}, words) for changes, words in REFUSED_PHASES),
        ({"scenario": {"phases": [PHASE], "repeat": 0}}, "repeat must be between 1 and 1000"),
        (
            {"sensorsPerPod": 1, "scenario": {"phases": [{**PHASE, "replicas": 201}]}},
            "replicas / sensorsPerPod of a phase must not exceed 200, the maximum number of pods of a fleet",
        ),
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
