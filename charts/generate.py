"""Write the chart's schema, annotations, the tables of values in its README, and the renders of its examples.

Run `.venv/bin/python -m charts.generate` after a change to the chart; tests compare the results with the chart.
"""

import sys

if __name__ == "__main__":  # before the imports: Ctrl-C during them would print a traceback
    from local.interrupts import run

    sys.exit(run("charts.generate"))

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import yaml

from charts.artifacthub import published_images, with_annotations
from charts.schema import required_values, schema_json, source

CHART = Path(__file__).with_name("mqtt-trace")
EXAMPLES = sorted(path.parent for path in CHART.glob("examples/*/values.yaml"))
README = CHART / "README.md"
SCHEMA = CHART / "values.schema.json"
METADATA = CHART / "Chart.yaml"
REQUIRED = CHART / "files" / "required-values"

BEGIN = "<!-- values: written by charts/generate.py from the comments in values.yaml -->"
END = "<!-- end of values -->"
IMAGES_BEGIN = "<!-- images: written by charts/generate.py from what the published chart renders -->"
IMAGES_END = "<!-- end of images -->"
COMPONENTS = """\
### Of every component

`broker`, `brokerMetrics`, `collector`, `scoutSim`, `producer`, `consumer`, `echo` and `operator` may each have these.
Those of the producer, except `serviceAccount`, apply to the pods of fleets, too. Maps are merged with the values of the
same name for all pods, lists replace them, and null removes them.
"""
OTHERS = """\
### All others
"""


def main() -> None:
    """Write schema, tables, annotations and renders."""
    SCHEMA.write_text(schema_json())
    METADATA.write_text(with_annotations(METADATA.read_text()))
    REQUIRED.write_text(required_values())
    README.write_text(with_tables(README.read_text()))
    renders = {example: render(example) for example in EXAMPLES}  # all, before the first of the old ones goes
    for example, templates in renders.items():
        shutil.rmtree(example / "rendered", ignore_errors=True)
        for name, manifests in templates.items():
            path = example / "rendered" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(manifests)


def render(example: Path, *, helm: str = "helm") -> dict[str, str]:
    """The manifests of an example by template, without blank lines: Helm 3 and Helm 4 place them differently.

    Raises:
        subprocess.CalledProcessError: Helm refuses the values; `stderr` says why.
    """
    values = str(example / "values.yaml")
    with tempfile.TemporaryDirectory() as folder:
        options = ["--namespace", "iot", "--values", values]
        command = [helm, "template", "demo", str(CHART), *options]
        subprocess.run([*command, "--output-dir", folder], check=True, capture_output=True, text=True)
        return _files(Path(folder) / CHART.name / "templates")


def rendered(example: Path) -> dict[str, str]:
    """The checked-in manifests of an example by template."""
    return _files(example / "rendered")


def with_tables(readme: str) -> str:
    """The README with its tables replaced."""
    values = table((CHART / "values.yaml").read_text())
    readme = _between(readme, BEGIN, f"{COMPONENTS}\n{component_table()}\n{OTHERS}\n{values}", END)
    return _between(
        readme, IMAGES_BEGIN, "".join(f"- `{image['image']}`\n" for image in published_images()), IMAGES_END
    )


def _between(text: str, begin: str, new: str, end: str) -> str:
    head, _, rest = text.partition(begin)
    _, _, tail = rest.partition(end)
    return f"{head}{begin}\n{new}{end}{tail}"


def component_table() -> str:
    """A Markdown table of the values that every component may have."""
    properties = source()["definitions"]["componentSettings"]["properties"]
    rows = "".join(
        f"| `{name}` | {part['description']} |\n" for name, part in properties.items() if "description" in part
    )
    return f"| value | description |\n| --- | --- |\n{rows}"


def table(values: str) -> str:
    """A Markdown table of every value that has a comment, in the order of the file."""
    rows = "".join(f"| `{name}` | {default} | {comment} |\n" for name, default, comment in described(values))
    return f"| value | default | description |\n| --- | --- | --- |\n{rows}"


def described(values: str) -> list[tuple[str, str, str]]:
    """Name, default and comment of every value that has a comment.

    Raises:
        ValueError: A value that is not a group of others has no comment.
    """
    root = yaml.compose(values)
    assert isinstance(root, yaml.MappingNode), "values.yaml is a map"  # noqa: S101 - for mypy: it is our own file
    return list(_walk(root, values.splitlines(), ""))


def _files(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): _without_blank_lines(path.read_text()) for path in folder.rglob("*.yaml")}


def _without_blank_lines(text: str) -> str:
    return "".join(f"{line}\n" for line in text.splitlines() if line.strip())


def _walk(node: yaml.MappingNode, lines: list[str], prefix: str) -> Iterator[tuple[str, str, str]]:
    for key, value in node.value:
        name = f"{prefix}{key.value}"
        comment = _comment_above(lines, key.start_mark.line)
        is_group = isinstance(value, yaml.MappingNode) and any(
            _comment_above(lines, child.start_mark.line) for child, _ in _descendants(value)
        )
        if not comment and not is_group:
            raise ValueError(f"values.yaml: {name} has no comment")
        if comment:
            yield name, "" if is_group else _default(value), comment
        if is_group:
            yield from _walk(value, lines, f"{name}.")


def _descendants(node: yaml.MappingNode) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    for key, value in node.value:
        yield key, value
        if isinstance(value, yaml.MappingNode):
            yield from _descendants(value)


def _comment_above(lines: list[str], line: int) -> str:
    comment: list[str] = []
    while line > 0 and lines[line - 1].lstrip().startswith("#"):
        line -= 1
        comment.insert(0, lines[line].strip().removeprefix("#").strip())
    return " ".join(comment)


def _default(node: yaml.Node) -> str:
    value = yaml.safe_load(yaml.serialize(node))
    if value is None or value == "":
        return ""
    return (
        f"`{value}`"
        if isinstance(value, str)
        else f"`{yaml.safe_dump(value, default_flow_style=True).split(chr(10))[0]}`"
    )
