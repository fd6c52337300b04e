"""The documentation's code blocks, as a reader copies them."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"

_BLOCK = re.compile(
    r'^```(?P<language>\w+)(?: title="(?P<title>[^"]*)")?\n(?P<code>.*?)^```$', re.MULTILINE | re.DOTALL
)
_SNIPPET = re.compile(r'^--8<-- "(?P<path>[^"]+)"\n', re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A block of code.

    Attributes:
        language: `python`, `sh` or `text`.
        title: What the page shows above it: a file's name, or where a command is to be run; empty without one.
        code: Its lines.
    """

    language: str
    title: str
    code: str


def blocks(page: str, language: str, title: str | None = None) -> list[Block]:
    """Return a page's blocks of one language, those with one title if it is given, with included files in them.

    Args:
        page: Path below `docs/`, such as `how-to/batches.md`.
        language: As the fence names it.
        title: Exactly this title.
    """
    text = _SNIPPET.sub(_included, (DOCS / page).read_text(encoding="utf-8"))
    found = [Block(match["language"], match["title"] or "", match["code"]) for match in _BLOCK.finditer(text)]
    return [block for block in found if block.language == language and title in {None, block.title}]


def _included(match: re.Match[str]) -> str:
    return (ROOT / match["path"]).read_text(encoding="utf-8")
