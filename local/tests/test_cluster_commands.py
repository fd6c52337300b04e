"""The errors when the cluster cannot be started."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from local.commands import CommandError, need, run

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bare_path(tmp_path: Path) -> dict[str, str]:
    """An environment with only shells and core tools."""
    for program in ("bash", "dirname", "env"):
        (tmp_path / program).symlink_to(shutil.which(program) or program)
    return {**os.environ, "PATH": str(tmp_path)}


def test_missing_programs_are_named_together() -> None:
    """One sentence names all missing programs."""
    need("env")
    with pytest.raises(CommandError, match=r"^no-such-one is not on PATH: install it$"):
        need("env", "no-such-one")
    with pytest.raises(CommandError, match=r"^no-such-one, no-such-other are not on PATH: install them$"):
        need("no-such-one", "no-such-other")


def test_a_failed_command_is_one_line_with_its_last_words() -> None:
    """The message has the command and the end of its output; the whole output is an attribute."""
    with pytest.raises(CommandError) as error:
        run("sh", "-c", "echo first >&2; echo last >&2; exit 3")
    assert str(error.value) == "sh -c echo first >&2; echo last >&2; exit 3: last"
    assert error.value.output == "first\nlast\n"


def test_a_command_gets_its_input_and_its_time() -> None:
    """A command reads the given input, and ends after its time-out."""
    assert run("cat", stdin="said") == "said"
    with pytest.raises(CommandError, match=r"^sleep 60: not done after 0.1 s$"):
        run("sleep", "60", timeout_s=0.1)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ([sys.executable, "-m", "local", "up"], "up: docker, kind, kubectl, helm are not on PATH: install them\n"),
        (
            ["bash", "-c", f"{sys.executable} -m local up <&-"],
            "up: docker, kind, kubectl, helm are not on PATH: install them\n",
        ),
        ([str(ROOT / "local" / "images")], "images: docker is not on PATH: install Docker\n"),
    ],
)
def test_a_machine_without_docker_gets_one_line(command: list[str], said: str, bare_path: dict[str, str]) -> None:
    """Without Docker the command fails with one line that names it."""
    done = subprocess.run(command, cwd=ROOT, env=bare_path, capture_output=True, text=True, check=False)
    assert done.returncode in (1, 2)
    assert done.stderr == said
