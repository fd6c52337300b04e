"""With a paho that lacks private names, a program is never worse off than without tracing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import paho.mqtt
import pytest

from local.mosquitto import Mosquitto
from mqtt_trace._paho.compat import Feature

PROGRAM = Path(__file__).parent / "programs" / "publish_and_process.py"
NAMES = sorted({name for feature in Feature for name in feature.value} | {"_host", "_port", "_protocol"})
"""The names of all features, and optional names that only save time."""
NEEDED = frozenset(Feature.INSTRUMENTATION.value)
QOS_0, QOS_1, QOS_2 = "publish explicit/0", "publish explicit/1", "publish explicit/2"

Result = dict[str, list[str] | bool | str]
Run = Callable[..., Result]


@pytest.fixture
def run(broker: Mosquitto, tmp_path: Path) -> Run:
    """Run the program with a copy of paho in which private names are renamed, and return its report."""

    def run_without(*names: str) -> Result:
        renamed = re.compile(rf"\b({'|'.join(names)})\b")
        for source in Path(paho.mqtt.__file__).parent.glob("*.py"):
            copy = tmp_path / "paho" / "mqtt" / source.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(renamed.sub(r"_other\1", source.read_text()) if names else source.read_text())
        (tmp_path / "paho" / "__init__.py").touch()
        command: list[str | Path] = [sys.executable, PROGRAM, broker.host, str(broker.port), tmp_path]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        result: Result = json.loads(done.stdout)
        return result

    return run_without


def test_with_all_names_everything_is_traced_and_nothing_logged(run: Run) -> None:
    """With an unchanged paho, explicit and instrumented publishes of every QoS are traced."""
    result = run()
    assert result["explicit"] == result["instrumented"] == ["0", "1", "2"]
    assert (result["spans"], result["instrumented spans"]) == ([QOS_0, QOS_1, QOS_2], ["0", "1", "2"])
    assert (result["is instrumented"], result["log"]) == (True, [])


@pytest.mark.parametrize("name", NAMES)
def test_without_one_name_a_program_publishes_and_receives(run: Run, name: str) -> None:
    """Explicit publishes are traced until PUBACK; an instrumentation that misses a name is off, in one log line."""
    result = run(name)
    assert result["explicit"] == result["instrumented"] == ["0", "1", "2"]
    assert result["spans"] == [QOS_0, QOS_1, QOS_2]
    assert result["acknowledged"] == ["0", "1", "2"]
    assert result["is instrumented"] is (name not in NEEDED)
    assert result["instrumented spans"] == ([] if name in NEEDED else ["0", "1", "2"])
    said = [line for line in result["log"] if "not instrumented" in line] if isinstance(result["log"], list) else []
    assert len(said) == (name in NEEDED)
    assert all(name in line for line in said)


def test_without_any_name_explicit_publishes_are_traced(run: Run) -> None:
    """With paho's public side alone, spans of QoS 0, 1 and 2 end, and each feature that is missing has one log line."""
    result = run(*NAMES)
    assert result["explicit"] == result["instrumented"] == ["0", "1", "2"]
    assert result["spans"] == [QOS_0, QOS_1, QOS_2]
    assert isinstance(result["log"], list)
    assert len(result["log"]) == 4
