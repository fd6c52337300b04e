"""Fixtures of the packaging tests: what is distributed, and clean environments to install it into."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UV = ROOT / ".tools" / "bin" / "uv"
_LOOK_UP_FAILED = 2


@dataclass(frozen=True)
class Distributions:
    """The files that are distributed."""

    sdist: Path
    wheel: Path


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    """What `uv build` makes: the sdist from the sources, the wheel from the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    _uv("build", "--quiet", "--out-dir", str(folder), str(ROOT))
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return Distributions(sdist, wheel)


@pytest.fixture
def install(tmp_path: Path) -> Callable[..., Path]:
    """Install requirements into a clean environment of an interpreter, and return the environment's own one."""

    def install_into(interpreter: str, *requirements: str) -> Path:
        _uv("venv", "--quiet", "--python", interpreter, str(tmp_path / "env"))
        python = tmp_path / "env" / "bin" / "python"
        _uv("pip", "install", "--quiet", "--python", str(python), *requirements)
        return python

    return install_into


def _uv(*arguments: str) -> None:
    done = subprocess.run(
        [UV, *arguments],
        # Away from the project, so that its settings and its workspace have no say.
        cwd=ROOT.anchor,
        env={**os.environ, "UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1", "UV_SYSTEM_CERTS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == _LOOK_UP_FAILED and "Failed to fetch" in done.stderr:
        pytest.skip("the package index is out of reach")
    assert done.returncode == 0, done.stderr


def interpreters(*versions: str) -> list[str]:
    """The interpreters of those versions that this machine has, on PATH or in pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    found = []
    for version in versions:
        installed = sorted(pyenv.glob(f"versions/{version}.*/bin/python{version}"))
        candidates = [shutil.which(f"python{version}"), *map(str, installed)]
        found += [candidate for candidate in candidates if candidate and _runs(candidate)][:1]
    return found


def _runs(interpreter: str) -> bool:
    return subprocess.run([interpreter, "-c", ""], capture_output=True, check=False).returncode == 0
