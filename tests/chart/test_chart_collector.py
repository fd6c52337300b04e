"""What the chart hands to the Collector is what the Collector reads."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from charts.generate import CHART


def read_by_the_collector(**variables: str) -> Any:
    """The chart's pipeline as the Collector reads it with these variables."""
    if shutil.which("otelcol-contrib") is None:
        pytest.skip("otelcol-contrib is not on PATH")
    names = ("SCOUT_CLIENT_ID", "SCOUT_CLIENT_SECRET", "SCOUT_TOKEN_URL", "SCOUT_OTLP_ENDPOINT")
    done = subprocess.run(
        ["otelcol-contrib", "print-config", "--mode=unredacted", "--config", str(CHART / "files" / "collector.yaml")],
        env={**os.environ, **dict.fromkeys(names, "https://x"), **variables},
        capture_output=True,
        text=True,
        check=True,
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
