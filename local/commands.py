"""Runs commands such as kubectl and helm, and waits for their end."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class CommandError(RuntimeError):
    """A command is missing or failed; the message is one line with the command and the last line of its output.

    Attributes:
        output: Everything that it printed.
    """

    def __init__(self, message: str, output: str = "") -> None:
        super().__init__(message)
        self.output = output


def need(*programs: str) -> None:
    """Do nothing while all of these programs are on PATH.

    Raises:
        CommandError: one of them is not.
    """
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise CommandError(f"{', '.join(missing)} {verb} not on PATH: install {'it' if verb == 'is' else 'them'}")


def run(
    *command: str,
    stdin: str = "",
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout_s: float = 600,
) -> str:
    """Run a command and return what it wrote to standard output.

    Args:
        command: Program and arguments.
        stdin: What it reads.
        env: Variables in addition to those of this process.
        cwd: Where it runs, this process's folder by default.
        timeout_s: Seconds that it may take.

    Raises:
        CommandError: there is no such program, it failed, or it took too long.
    """
    need(command[0])
    shown = " ".join(command)
    try:
        done = subprocess.run(
            command,
            input=stdin,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"{shown}: not done after {timeout_s:g} s") from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()
        raise CommandError(f"{shown}: {said[-1]}", done.stdout + done.stderr)
    return done.stdout


@dataclass(frozen=True)
class Kubectl:
    """kubectl in one namespace of one cluster.

    Attributes:
        kubeconfig: Its configuration; None for kubectl's own choice.
        namespace: Where it looks.
    """

    kubeconfig: Path | None
    namespace: str

    @property
    def command(self) -> list[str]:
        """The first words of every command."""
        chosen = ["--kubeconfig", str(self.kubeconfig)] if self.kubeconfig else []
        return ["kubectl", *chosen, "--namespace", self.namespace]

    def __call__(self, *arguments: str, stdin: str = "", timeout_s: float = 300) -> str:
        """Run it; see `run`."""
        return run(*self.command, *arguments, stdin=stdin, timeout_s=timeout_s)

    def json(self, *arguments: str) -> Any:
        """Run it and return what it printed as JSON."""
        return json.loads(self(*arguments, "--output", "json"))


@dataclass(frozen=True)
class Helm:
    """Helm in one namespace of one cluster.

    Attributes:
        kubeconfig: Its configuration; None for Helm's own choice.
        namespace: Where its releases are.
        program: Which Helm, such as `helm4`.
    """

    kubeconfig: Path | None
    namespace: str
    program: str = "helm"

    def __call__(self, *arguments: str, timeout_s: float = 900) -> str:
        """Run it; see `run`."""
        chosen = ["--kubeconfig", str(self.kubeconfig)] if self.kubeconfig else []
        return run(self.program, *chosen, "--namespace", self.namespace, *arguments, timeout_s=timeout_s)
