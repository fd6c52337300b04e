"""A run of these tests: what it says at its end of skips and second tries, and which examples it takes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

SKIPS = """
import pytest
from local.needed import needs, skip_without

@pytest.mark.parametrize("number", range(3))
@needs("otelcol-contrib")
def test_marked(number): ...

@pytest.fixture
def helm():
    skip_without("helm")

def test_by_a_fixture(helm): ...

def test_that_passes(): ...
"""

EXPLORES = """
from pathlib import Path
from hypothesis import given, strategies as st

@given(st.integers())
def test_any(number):
    with Path("examples").open("a") as examples:
        examples.write(f"{number}\\n")

@given(st.integers())
def test_small(number):
    assert number < 1000
"""

FLAKY = """
from pathlib import Path
import pytest

@pytest.mark.parametrize("what", ["a b", '"c"', "d\\\\"])
def test_flaky(what, number=[0]):
    before = Path(f"ran-{len(what)}-{ord(what[0])}")
    ran = before.exists()
    before.touch()
    assert ran

def test_steady(): ...
"""

MAKEFILE = f"""
check e2e:
test:
\t@{sys.executable} -m pytest -q $(TESTS)
"""


MAKES_OWN = {"MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "TESTS"}


def run_pytest(folder: Path, source: str, *options: str, **env: str) -> tuple[int, str]:
    """Run a test module with this project's conftest.py; returns the exit code and what it printed."""
    (folder / "test_sample.py").write_text(source)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "conftest",
            "-c",
            os.devnull,
            "--rootdir",
            folder,
            *options,
            folder,
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def test_the_last_lines_say_what_was_skipped_and_what_brings_it(tmp_path: Path) -> None:
    """There is one line for each reason, however many tests it keeps from running."""
    code, printed = run_pytest(tmp_path, SKIPS, PATH=str(tmp_path))
    assert code == 0
    *_, collector, helm, result = printed.splitlines()
    assert collector == "skipped 3: no Collector: put otelcol-contrib on PATH"
    assert helm == "skipped 1: no Helm 3: put it on PATH as helm"
    assert result.startswith("1 passed, 4 skipped in ")
    assert "SKIPPED" not in printed


def test_examples_are_the_same_each_time(tmp_path: Path) -> None:
    """Two runs without an option try the same hundred examples or fewer."""
    first, second = ([run_pytest(tmp_path, EXPLORES), examples(tmp_path)][1] for _ in range(2))
    assert first == second
    assert 10 < len(first) <= 100


def test_exploring_tries_others_and_says_how_to_reproduce(tmp_path: Path) -> None:
    """Two runs with the profile try many and different examples, and a failure prints what brings it back."""
    _, printed = run_pytest(tmp_path, EXPLORES, "--hypothesis-profile=explore")
    first = examples(tmp_path)
    run_pytest(tmp_path, EXPLORES, "--hypothesis-profile=explore")
    assert len(first) > 1000
    assert first != examples(tmp_path)
    assert re.search(r"@reproduce_failure\('[\d.]+', b'.+'\)", printed)


def examples(folder: Path) -> list[str]:
    """Return the examples of the last run, and forget them."""
    file = folder / "examples"
    tried = file.read_text().splitlines()
    file.unlink()
    return tried


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with this project's CI, tests that fail the first time, and no lab next to it."""
    folder = tmp_path / "project" / "clone"
    shutil.copytree(ROOT / ".ci", folder / ".ci")
    (folder / "Makefile").write_text(MAKEFILE)
    return folder


def run_ci(clone: Path) -> tuple[int, list[str]]:
    """Run `.ci/run` where no Docker answers; returns the exit code and what it printed."""
    done = subprocess.run(
        [clone / ".ci" / "run"],
        # Without what a `make test TESTS=…` hands to these tests, and through them to the make within.
        env={
            **{name: value for name, value in os.environ.items() if name not in MAKES_OWN},
            "DOCKER_HOST": "unix:///nowhere",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout.splitlines()


def test_the_last_line_of_ci_names_what_passed_only_the_second_time(clone: Path) -> None:
    """Each such test stands there by its node id, and no other does."""
    (clone / "test_sample.py").write_text(FLAKY)
    code, printed = run_ci(clone)
    assert code == 0, printed
    ids = [f"test_sample.py::test_flaky[{what}]" for what in ("a b", '"c"', "d\\\\")]
    assert printed[-1] == f"ci: passed, but only the second time: {', '.join(ids)}"


def test_ci_names_no_test_that_passed_at_once(clone: Path) -> None:
    """What failed in an earlier run on this machine is not taken for a failure of this one."""
    (clone / "test_sample.py").write_text("def test_steady(): assert False")
    assert run_ci(clone)[0] != 0
    (clone / "test_sample.py").write_text("def test_steady(): ...")
    code, printed = run_ci(clone)
    assert code == 0
    assert "second time" not in "".join(printed)


def test_ci_fails_for_what_fails_twice(clone: Path) -> None:
    """CI fails for a fault even if another test passes the second time."""
    (clone / "test_sample.py").write_text(FLAKY + "\ndef test_fault(): assert False\n")
    code, printed = run_ci(clone)
    assert code != 0
    assert any("test_fault" in line for line in printed)
