"""Measure the library, show the tables, and write them to docs/library-performance.md.

Usage: python -m bench.library [--messages N] [--rounds N]
"""

import sys

if __name__ == "__main__":  # before the imports, which Ctrl-C would end with a traceback
    from local.interrupts import run

    sys.exit(run("bench.library.__main__"))

import argparse
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown

from bench.library import comparisons, page
from bench.testbed import start_testbed

PAGE = Path(__file__).parents[2] / "docs" / "library-performance.md"


def main() -> None:
    """Measure the library and write docs/library-performance.md; takes minutes."""
    parser = argparse.ArgumentParser(prog="make bench-library", description=main.__doc__)
    parser.add_argument("--messages", type=int, default=20_000, help="messages per measurement (default: %(default)s)")
    parser.add_argument(
        "--rounds", type=int, default=5, help="rounds; the page has their median (default: %(default)s)"
    )
    chosen = parser.parse_args()
    messages, rounds = chosen.messages, chosen.rounds
    console = Console()
    sections = [page.head(messages, rounds)]
    with start_testbed() as testbed:
        measurements: dict[str, Callable[[], str]] = {
            "publishing": lambda: page.publishing(
                comparisons.publishing(testbed, messages, rounds), comparisons.sdk_span_us(attributes=11)
            ),
            "receiving": lambda: page.receiving(comparisons.receiving(testbed, messages, rounds)),
            "pending spans": lambda: page.pending(comparisons.pending(testbed)),
            "memory over time": lambda: page.growth(comparisons.growth(testbed, messages), messages),
        }
        for name, measure in measurements.items():
            with console.status(f"measuring: {name}"):
                sections.append(measure())
            console.print(Markdown(sections[-1]))
    PAGE.write_text(page.page(sections), encoding="utf-8")
    console.print(f"written: {PAGE.relative_to(Path.cwd()) if PAGE.is_relative_to(Path.cwd()) else PAGE}")
