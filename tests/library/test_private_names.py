"""With a paho that lacks private names, a program is never worse off than without tracing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
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
Edits = Sequence[tuple[str, str, str]]
"""A source file of paho, a regular expression, and what replaces each match."""
CHANGES: dict[str, tuple[Edits, bool]] = {
    "one argument for an acknowledgement": (
        [
            (
                "client.py",
                r"(def _do_on_publish\()self, mid: int, .*",
                r"\1self, ack):\n        mid, reason_code, properties = ack",
            ),
            ("client.py", r"(rc = self\._do_on_publish)(\(.*\))", r"\1(\2)"),
        ],
        False,
    ),
    "keyword arguments for an acknowledgement": (
        [
            (
                "client.py",
                r"(rc = self\._do_on_publish)\(mid, (\w+), properties\)",
                r"\1(mid=mid, reason_code=\2, properties=properties)",
            )
        ],
        True,
    ),
    "an argument for CONNACK": (
        [
            ("client.py", r"def _handle_connack\(self\)", "def _handle_connack(self, _)"),
            ("client.py", r"(self\._handle_connack\()", r"\1None"),
        ],
        False,
    ),
    "a packet that is an object": (
        [
            ("client.py", r"self\._in_packet\[[\"'](\w+)[\"']\]", r"self._in_packet.\1"),
            (
                "client.py",
                r"self\._in_packet(?:: \w+)? = (\{[^}]*\})",
                r"self._in_packet = __import__('types').SimpleNamespace(**\1)",
            ),
        ],
        False,
    ),
    "methods in a base class": (
        [
            ("client.py", r"\nclass Client:", r"\nclass _Base:"),
            ("client.py", r"(?s)(.*\n    def _thread_main.*)", r"\1\nclass Client(_Base): ...\n"),
        ],
        True,
    ),
    "tables of properties with other names": (
        [
            ("properties.py", r"\bself\.(types|names|properties)\b", r"self.all_\1"),
            ("properties.py", r'"types", "names", "properties"\]', '"all_types", "all_names", "all_properties"]'),
        ],
        True,
    ),
}
"""Changes of paho that keep every name, and whether the instrumentation is possible."""


@pytest.fixture
def run(broker: Mosquitto, tmp_path: Path) -> Run:
    """Run the program with a copy of paho in which private names are renamed or edited, and return its report."""

    def run_without(*names: str, edits: Edits = ()) -> Result:
        sources = {one.name: one.read_text() for one in Path(paho.mqtt.__file__).parent.glob("*.py")}
        if names:
            edits = [(name, rf"\b({'|'.join(names)})\b", r"_other\1") for name in sources]
        for name, pattern, replacement in edits:
            sources[name], found = re.subn(pattern, replacement, sources[name])
            assert found or names, f"paho's {name} has no match of {pattern}"
        (tmp_path / "paho" / "mqtt").mkdir(parents=True)
        (tmp_path / "paho" / "__init__.py").touch()
        for name, source in sources.items():
            (tmp_path / "paho" / "mqtt" / name).write_text(source)
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


@pytest.mark.parametrize("change", CHANGES)
def test_with_a_private_part_of_another_shape_a_program_publishes_and_receives(run: Run, change: str) -> None:
    """A method with other parameters or an attribute of another kind counts as missing."""
    edits, is_possible = CHANGES[change]
    result = run(edits=edits)
    assert result["explicit"] == result["instrumented"] == result["acknowledged"] == ["0", "1", "2"]
    assert result["spans"] == [QOS_0, QOS_1, QOS_2]
    assert result["is instrumented"] is is_possible
    assert result["instrumented spans"] == (["0", "1", "2"] if is_possible else [])
    assert (result["log"] == []) is is_possible


def test_without_any_name_explicit_publishes_are_traced(run: Run) -> None:
    """With paho's public side alone, spans of QoS 0, 1 and 2 end, and each feature that is missing has one log line."""
    result = run(*NAMES)
    assert result["explicit"] == result["instrumented"] == ["0", "1", "2"]
    assert result["spans"] == [QOS_0, QOS_1, QOS_2]
    assert isinstance(result["log"], list)
    assert len(result["log"]) == 4
