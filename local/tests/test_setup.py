"""`local/setup` installs what is missing, and only what is required stops it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Core tools of a shell script, Mosquitto, and programs that the test's machine may lack.
TOOLS = ["bash", "cat", "cksum", "dirname", "env", "id", "mkdir", "tail"]
TOOLS += ["mosquitto", "mosquitto_passwd", "mosquitto_pub", "mosquitto_sub", "openssl"]


@pytest.fixture
def set_up(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `local/setup` with these arguments and programs on a machine that lacks only the tests' needs."""
    clone, tools, scripts = tmp_path / "clone", tmp_path / "tools", tmp_path / "scripts"
    for folder in (clone / "local", clone / "requirements", clone / ".tools/bin", clone / ".venv/bin", tools, scripts):
        folder.mkdir(parents=True)
    (clone / "local" / "setup").write_text((ROOT / "local" / "setup").read_text())
    (clone / "local" / "setup").chmod(0o755)
    (clone / "pyproject.toml").touch()
    for lock in (ROOT / "requirements").glob("*.txt"):
        (clone / "requirements" / lock.name).touch()
    (clone / ".tools" / "bin" / "uv").symlink_to(ROOT / ".tools" / "bin" / "uv")
    (clone / ".venv" / "bin" / "python").symlink_to(sys.executable)
    setup = (clone / "local" / "setup").read_bytes()
    stamp = subprocess.run(["cksum"], input=setup, capture_output=True, check=True).stdout
    (clone / ".venv" / ".setup-stamp").write_bytes(stamp)
    (tools / "python3").symlink_to(sys.executable)
    for tool in TOOLS:
        (tools / tool).symlink_to(shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin") or tool)

    def run(*arguments: str, **programs: str) -> subprocess.CompletedProcess[str]:
        for name, script in programs.items():
            # In a folder without links: a script that is written through one would replace the machine's own program.
            program = scripts / name.replace("_", "-")
            program.write_text(f"#!{tools}/bash\n{script}\n")
            program.chmod(0o755)
        return subprocess.run(
            [clone / "local" / "setup", *arguments],
            env={**os.environ, "PATH": f"{scripts}:{tools}"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_what_only_tests_need_is_not_installed_for_the_demo(
    set_up: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """Without the argument nothing is printed or installed, although curl and chromium are missing."""
    done = set_up(apt_get="echo asked >&2")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    "package_manager",
    [
        {},
        {"apt_get": "echo no mirror; exit 100"},
        {"brew": "exit 1"},
        {"apt_get": "exit 0", "sudo": "exit 1", "id": "echo 1000"},
    ],
    ids=["none", "apt-get fails", "brew fails", "sudo asks for a password"],
)
def test_what_tests_need_and_cannot_be_installed_is_one_line_each(
    package_manager: dict[str, str], set_up: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """A package that cannot be installed is one line that names the skipped tests, and set-up continues."""
    done = set_up("tests", **package_manager)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        line
        for package in ("curl", "chromium", "libatomic1")
        for line in (
            f"setup: installing {package} for the tests",
            f"setup: {package} could not be installed: the tests that need it are skipped",
        )
    ]


def test_what_tests_need_is_installed_where_it_can_be(
    set_up: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """The package manager gets the name of each package that is missing, one by one."""
    asked, missing = tmp_path / "asked", ["curl", "libatomic1"]
    said = "".join(f"setup: installing {package} for the tests\n" for package in missing)
    done = set_up("tests", apt_get=f'echo "$*" >>{asked}', google_chrome="", sudo='shift; "$@"')
    assert (done.returncode, done.stdout, done.stderr) == (0, said, "")
    assert asked.read_text().splitlines() == [
        line for package in missing for line in ("update", f"install -y --no-install-recommends {package}")
    ]


def test_each_verb_installs_what_it_needs() -> None:
    """`make test` asks for what tests need, `make demo` does not."""
    test, demo = (
        subprocess.run(["make", "--dry-run", verb], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for verb in ("test", "demo")
    )
    assert "local/setup tests" in test
    assert "local/setup\n" in demo
    assert "local/setup tests" not in demo
