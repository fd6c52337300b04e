"""Programs that some tests need and a machine may lack, with the reasons that pytest prints."""

import shutil
from collections.abc import Sequence

import pytest

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")

_REASONS = {
    "otelcol-contrib": "no Collector: put otelcol-contrib on PATH",
    "helm": "no Helm 3: put it on PATH as helm",
    "helm4": "no Helm 4: put it on PATH as helm4",
    "prometheus": "no Prometheus: put prometheus on PATH",
    "promtool": "no promtool: put it on PATH, it comes with Prometheus",
    "curl": "no curl: install it",
    CHROMIUM[0]: "no browser: install chromium",
}


def needs(program: str) -> pytest.MarkDecorator:
    """Return a mark that skips a test if the program is not on PATH."""
    return pytest.mark.skipif(found(program) is None, reason=_REASONS[program])


def skip_without(program: str) -> None:
    """Skip the current test if the program is not on PATH; for fixtures."""
    if found(program) is None:
        pytest.skip(_REASONS[program])


def found(program: str) -> str | None:
    """Return the path of the program, under any of its names; None if it is not on PATH."""
    names: Sequence[str] = CHROMIUM if program == CHROMIUM[0] else (program,)
    return next(filter(None, map(shutil.which, names)), None)
