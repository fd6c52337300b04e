"""Fixtures of the packaging tests: the distributions, and clean environments to install them into."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(__file__).parent / "programs"
UV = ROOT / ".tools" / "bin" / "uv"
PIP_PYTHON = ROOT / ".tools" / "venv" / "bin" / "python"
"""Created by `python -m venv`, so it has pip."""
THIN = ROOT / "instrumentation" / "opentelemetry-instrumentation-paho-mqtt"
"""The distribution that only has the conventional name."""

_OUT_OF_REACH = re.compile(r"Failed to fetch|Retrying \(Retry\(total=0|Could not connect|dns error")


@dataclass(frozen=True)
class Distributions:
    """The files that are distributed."""

    sdist: Path
    wheel: Path


def build(project: Path, folder: Path, *options: str) -> Distributions:
    """The result of `uv build`: the sdist from the sources, and the wheel from the sdist."""
    _run([UV, "build", "--quiet", "--out-dir", folder, *options, project])
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return Distributions(sdist, wheel)


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    """The library's."""
    return build(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="session")
def thin(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    """Those of `opentelemetry-instrumentation-paho-mqtt`."""
    return build(THIN, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone as if everything here were committed."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    folder = tmp_path_factory.mktemp("clone")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture
def install(tmp_path: Path) -> Callable[..., Path]:
    """Install requirements into a clean environment of an interpreter, and return its interpreter."""

    def install_into(interpreter: str, *requirements: str | Path) -> Path:
        return uv_install(make_environment(interpreter, tmp_path / "env"), *requirements)

    return install_into


def make_environment(interpreter: str, folder: Path) -> Path:
    """A clean environment's interpreter."""
    _run([UV, "venv", "--quiet", "--python", interpreter, folder])
    return folder / "bin" / "python"


def uv_install(python: Path, *requirements: str | Path) -> Path:
    """Install requirements into an environment, quickly, and return its interpreter."""
    _run([UV, "pip", "install", "--quiet", "--python", python, *requirements])
    return python


@pytest.fixture
def pip(tmp_path: Path) -> Callable[..., Path]:
    """Install with Python's own pip into a clean environment, and return its interpreter."""
    python = tmp_path / "env" / "bin" / "python"
    _run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"])
    pip_of_it: list[str | Path] = [PIP_PYTHON, "-m", "pip", "--python", python]

    def pip_install(*arguments: str | Path) -> Path:
        # Compiling all installed modules takes longer than the rest, and most are never imported.
        _run([*pip_of_it, "install", "--quiet", "--no-input", "--no-compile", *arguments])
        return python

    return pip_install


def _run(command: Sequence[str | Path]) -> None:
    done = subprocess.run(
        command,
        # Outside the project, so that its settings and its workspace do not apply.
        cwd=ROOT.anchor,
        env=clean_environment() | {"UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1", "UV_SYSTEM_CERTS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode and _OUT_OF_REACH.search(done.stderr):
        pytest.skip("the package index is out of reach")
    assert done.returncode == 0, done.stderr


def clean_environment() -> dict[str, str]:
    """The process's environment, without variables that would affect another Python or OpenTelemetry."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "PYTHON", "VIRTUAL_ENV"))
    }


def interpreter(version: str) -> str | None:
    """The interpreter of a version, from PATH or pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    installed = sorted(pyenv.glob(f"versions/{version}.*/bin/python{version}"))
    candidates = [shutil.which(f"python{version}"), *map(str, installed)]
    return next((candidate for candidate in candidates if candidate and _runs(candidate)), None)


def _runs(candidate: str) -> bool:
    return subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode == 0
