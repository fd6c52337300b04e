"""600 sets of values: each is in valid manifests, unchanged, or is refused in a sentence with its path."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from local.needed import found, skip_without
from tests.chart.api_objects import Manifest, faults, parsed
from tests.chart.conftest import HELMS
from tests.chart.placement import misplaced
from tests.chart.value_sets import leaves, value_sets

SETS_IN_AN_EXAMPLE = 6

# Without collecting garbage, Helm takes a quarter less.
ENVIRONMENT = {**os.environ, "GOGC": "off"}


class _Quoting(yaml.CSafeDumper):
    """Quotes every string: PyYAML takes `1e3` for one, and Helm for a number."""


_Quoting.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))

SENTENCE = re.compile(r"execution error at \(mqtt-trace/templates/\S+\): (?P<sentence>[^\n]+\.)$", re.MULTILINE)
BAD_EXPRESSION = 'mqtt-trace/templates/extra-manifests.yaml" at <tpl $manifest $>'


@pytest.fixture(scope="module")
def chart(chart_with_notes: Path) -> Path:
    """The chart with its notes in a manifest."""
    skip_without("helm")
    return chart_with_notes


# A failure shows one set, which is small: to shrink it would run Helm for minutes.
@settings(phases=[Phase.generate])
@given(st.lists(value_sets(), min_size=SETS_IN_AN_EXAMPLE, max_size=SETS_IN_AN_EXAMPLE))
def test_any_values_are_in_the_manifests_or_refused_with_their_path(chart: Path, sets: list[dict[str, Any]]) -> None:
    """A string that is hostile to YAML, or a number out of range, neither breaks nor alters a manifest."""
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        helms = cycle([helm for helm in HELMS if found(helm)])
        for values, wrong in zip(sets, threads.map(partial(outcome, chart), helms, sets), strict=False):
            assert not wrong, f"{yaml.safe_dump(values)}{wrong}"


def outcome(chart: Path, helm: str, values: dict[str, Any]) -> str:
    """What is wrong with a render of these values, or nothing."""
    done = subprocess.run(
        [helm, "template", "demo", str(chart), "--namespace", "iot", "--values", "-"],
        input=yaml.dump(values, Dumper=_Quoting, allow_unicode=True),
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return "" if names_a_path(done.stderr, values) else f"exit code {done.returncode}: {done.stderr}"
    try:
        checked = [checked_document(document) for document in done.stdout.split("\n---\n")]
    except (yaml.YAMLError, ValueError) as error:
        return f"{error}\n{done.stdout}"
    manifests = [manifest for found, _ in checked for manifest in found]
    (notes,) = (manifest for manifest in manifests if manifest["kind"] == "Notes")
    manifests.remove(notes)
    return "\n".join(
        [*(fault for _, found in checked for fault in found), *misplaced(values, manifests, notes["text"])]
    )


@cache
def checked_document(text: str) -> tuple[list[Manifest], list[str]]:
    """The manifests of a document and their faults; most documents are the same for most values."""
    manifests = parsed(text)
    return manifests, [fault for manifest in manifests for fault in faults(manifest)]


def names_a_path(said: str, values: dict[str, Any]) -> bool:
    """Whether a refusal is a sentence, or a line of the schema, with the path of one of the values."""
    paths = [path for path, _ in leaves(values)]
    said = said[said.find("Error:") :]  # after Helm's warnings
    if said.startswith("Error: values don't meet the specifications of the schema(s)"):
        places = [tuple(place.split("/")[1:]) for place in re.findall(r"^ *- at '(/?\S*)':", said, re.MULTILINE)]
        return any(path[: len(place)] == place for place in map(unescaped, places) for path in paths)
    if sentence := SENTENCE.search(said):
        return any(prefix in sentence["sentence"] for path in paths for prefix in prefixes(path))
    return BAD_EXPRESSION in said and "extraManifests" in values


def unescaped(pointer: tuple[str, ...]) -> tuple[str, ...]:
    """The steps of a JSON pointer as they are in the values."""
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in pointer)


def prefixes(path: tuple[str, ...]) -> Iterator[str]:
    """What a sentence may call a value: its path, or that of a group which it belongs to."""
    yield from (".".join(path[:length]) for length in range(1, len(path) + 1))
