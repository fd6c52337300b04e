"""The site is built without a warning."""

import subprocess
import sys
from pathlib import Path

from local.documents import ROOT


def test_every_page_is_built_and_every_link_leads_somewhere(tmp_path: Path) -> None:
    """A page outside the navigation, a broken link or an unknown reference fails the build."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    assert (tmp_path / "site" / "how-to" / "batches" / "index.html").exists()
