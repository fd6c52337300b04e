"""What the chart hands to the Collector is what the Collector reads."""

from __future__ import annotations

import os
import subprocess
from typing import Any

import pytest
import yaml

from charts.generate import CHART
from local.needed import skip_without
from tests.chart.conftest import Refuse, Render


def read_by_the_collector(**variables: str) -> Any:
    """The chart's pipeline as the Collector reads it with these variables."""
    skip_without("otelcol-contrib")
    names = ("SCOUT_CLIENT_ID", "SCOUT_CLIENT_SECRET", "SCOUT_TOKEN_URL", "SCOUT_OTLP_ENDPOINT")
    done = subprocess.run(
        ["otelcol-contrib", "print-config", "--mode=unredacted", "--config", str(CHART / "files" / "collector.yaml")],
        env={**os.environ, **dict.fromkeys(names, "https://x"), **variables},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return yaml.safe_load(done.stdout)


@pytest.mark.parametrize("secret", ["pa$word", "pa$", "$(a)", "007", "true", "null", "a: b", '"quoted"', "#", "{a"])
def test_a_client_secret_that_is_accepted_is_read_as_it_is(secret: str) -> None:
    """A single dollar and what would be YAML included."""
    assert read_by_the_collector(SCOUT_CLIENT_SECRET=secret)["extensions"]["oauth2client"]["client_secret"] == secret


@pytest.mark.parametrize("secret", ["pa$$word", "pa${word}"])
def test_a_client_secret_that_is_refused_would_be_read_otherwise(secret: str) -> None:
    """The Collector expands the values of variables as well."""
    assert read_by_the_collector(SCOUT_CLIENT_SECRET=secret)["extensions"]["oauth2client"]["client_secret"] != secret


@pytest.mark.parametrize(
    "environment", ["iot-demo", "eu.prod_2", "yes", "No", "on", "OFF", "y", "nan", "e3", "tRue", "a."]
)
def test_an_environment_that_is_accepted_is_read_as_text(render: Render, environment: str) -> None:
    """No word that is a truth value to others either."""
    (collector,) = (
        manifest
        for manifest in render(options=("--set-string", f"scout.environment={environment}"))
        if (manifest["kind"], manifest["metadata"]["name"]) == ("StatefulSet", "demo-mqtt-trace-otel-collector")
    )
    container, *_ = collector["spec"]["template"]["spec"]["containers"]
    variables = {variable["name"]: variable.get("value") for variable in container["env"]}
    read = read_by_the_collector(SCOUT_ENVIRONMENT=variables["SCOUT_ENVIRONMENT"])
    values = [attribute["value"] for attribute in read["processors"]["resource"]["attributes"]]
    assert values == [environment, environment]


@pytest.mark.parametrize("environment", ["true", "False", "NULL"])
def test_a_word_that_yaml_has_a_value_for_is_no_environment(refuse: Refuse, environment: str) -> None:
    """It would be none, or no text, to the Collector."""
    message = refuse(options=("--set-string", f"scout.environment={environment}"))
    assert f"scout.environment is {environment}, which the Collector does not read as text." in message
