"""The performance pages, against the programs that write them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import page
from bench.figures import Figures
from bench.footprint import Memory
from bench.http_hop import TRANSPORTS
from bench.library import page as library_page
from bench.library.comparisons import COMPARED
from bench.library.modes import EXPLICIT, INSTRUMENTED, MODES, UNTRACED
from bench.operator import page as operator_page
from bench.operator.__main__ import CHANGES

DOCS = Path(__file__).parents[2] / "docs"

# Different processor times, as overheads are divided by one another.
_COMPARED = {key: Figures(1, 1.0, float(number)) for number, key in enumerate(COMPARED)}
_SERVICES = {name: Figures(1, 1.0, 1.0) for name in ("untraced", "baseline", "mqtt-trace")}
_HTTP_HOP = {name: Figures(1, 1.0, 1.0 / number) for number, name in enumerate(TRANSPORTS, 1)}
_WITH_ECHO = {name: Figures(1, 1.0, 1.0, echo_cpu_seconds=1.0) for name in ("baseline", "mqtt-trace")}


def services_page() -> str:
    """The page of `make bench`."""
    sections = [
        page.publishing(_SERVICES),
        page.consuming(_WITH_ECHO),
        page.http_hop(_HTTP_HOP, _SERVICES["mqtt-trace"]),
        page.echoing({name: _SERVICES[name] for name in _WITH_ECHO}),
        page.latency({"untraced": [1.0], "traced": [1.0]}),
        page.memory([Memory(1, 1, 1.0)] * 3, [Memory(1, 1, 1.0)] * 4),
        page.services(dict.fromkeys(("producer", "consumer", "echo"), 1.0)),
    ]
    return page.page(sections)


def library_performance_page() -> str:
    """The page of `make bench-library`."""
    sections = [
        library_page.head(1, 1),
        library_page.publishing(_COMPARED, 1.0),
        library_page.receiving(_COMPARED),
        library_page.pending(dict.fromkeys(MODES, 1.0)),
        library_page.growth(dict.fromkeys((UNTRACED, EXPLICIT, INSTRUMENTED), [1.0] * 4), 4),
    ]
    return library_page.page(sections)


def operator_performance_page() -> str:
    """The page of `make bench-operator`."""
    requests = [operator_page.Requests(change, 1, 1) for change in CHANGES]
    return operator_page.make_page({1: 1.0, 2: 1.0}, requests, [operator_page.Rescale(1, 1, 1.0, 1.0)] * 3, "v1.1.1")


@pytest.mark.parametrize(
    ("name", "make_page"),
    [
        ("performance.md", services_page),
        ("library-performance.md", library_performance_page),
        ("operator-performance.md", operator_performance_page),
    ],
)
def test_a_page_has_the_words_of_its_program(name: str, make_page: Callable[[], str]) -> None:
    """A committed page differs only in figures from one that its program writes."""
    assert without_figures((DOCS / name).read_text()) == without_figures(make_page())


def without_figures(text: str) -> str:
    """The text with each number as one character."""
    return re.sub(r"-?\d[\d,.]*\d|-?\d", "#", text)
