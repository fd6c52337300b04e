"""Sets of values for the chart, drawn from its schema: most are nearly right, and their strings are hostile to YAML."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import yaml
from hypothesis import strategies as st

from charts.generate import CHART, SCHEMA

Part = dict[str, Any]
Draw = Callable[[st.SearchStrategy[Any]], Any]

ROOT: Part = json.loads(SCHEMA.read_text())
DEFAULTS: Part = yaml.safe_load((CHART / "values.yaml").read_text())

HOSTILE = [
    *(
        "",
        " ",
        "A",
        "y",
        "yes",
        "no",
        "on",
        "off",
        "true",
        "null",
        "~",
        ".inf",
        "<<",
        "=",
        "0x1",
        "1e3",
        "007",
        "1_000",
    ),
    *(
        "12:30:45",
        "2026-11-30",
        "a: b",
        "a #b",
        "#a",
        "a\nb: c",
        "\n",
        "a\n",
        "---\na: b",
        "\t",
        "- a",
        "? a",
        "| ",
        ">-",
    ),
    *(
        "[a",
        "{a: b",
        "*a",
        "&a",
        "!a",
        "!!int 1",
        "%a",
        "@a",
        "`a`",
        "'",
        '"',
        "a'b",
        'a"b',
        "\\",
        "\\n",
        "${a}",
        "$(A)",
    ),
    *(
        "{{",
        "{{ .Values }}",
        "}}",
        "a,b=c",
        "a/b",
        "../a",
        "é",
        "日本",
        "\u00a0",
        "\u2028",
        "\u0085",
        "\ufeff",
        "\x00",
        "\x7f",
    ),
    *("😀", "a" * 64, "a" * 300, "a b " * 2000),
]
SUFFIXES = [" ", " # x", "\n", "\nx: y", ": x", "'", '"', "{{", "\u00e9", "a" * 300]
INTEGERS = [-1, 0, 1, 2, 80, 1000, 65535, 65536, 1_000_000, 1_000_650_000, 2**31, 2**53, 2**63]
FRACTIONS: list[float] = [-0.5, 0.001, 0.01, 0.5, 2.5, 1e6, 1e21]
OF_OTHER_TYPES = [None, "", "a", 0, 1, -1, 2.5, True, [], ["a"], {}, {"a": "b"}]


@st.composite
def value_sets(draw: Draw) -> Part:
    """A map of values in which one to three are set, each at any depth of the schema."""
    values: Part = {}
    for _ in range(draw(st.integers(1, 3))):
        _merge(values, draw(_value(ROOT, DEFAULTS)))
    return values


@st.composite
def _value(draw: Draw, schema: Part, default: Any = None) -> Any:
    """A value for a part of the schema; of an object, it has one property, and what is required and has no default."""
    schema = resolved(schema)
    if draw(st.integers(0, 99)) == 0:
        return draw(st.sampled_from(OF_OTHER_TYPES))
    if "anyOf" in schema:
        return draw(_value(draw(st.sampled_from(schema["anyOf"])), default))
    if "enum" in schema:
        return draw(st.sampled_from(schema["enum"]))
    kind = schema.get("type", "object")
    of_kind: dict[str, Callable[[], st.SearchStrategy[Any]]] = {
        "object": lambda: _object(schema, default if isinstance(default, dict) else {}),
        "array": lambda: st.lists(_value(schema.get("items", {"type": "string"})), max_size=2),
        "string": lambda: _text(schema.get("pattern", ""), schema.get("maxLength", 300)),
        "integer": lambda: _number(schema, INTEGERS),
        "number": lambda: _number(schema, [*INTEGERS, *FRACTIONS]),
        "boolean": st.booleans,
        "null": st.none,
    }
    return draw(of_kind[draw(st.sampled_from(kind)) if isinstance(kind, list) else kind]())


@st.composite
def _object(draw: Draw, schema: Part, default: Part) -> Part:
    # Labels of the chart's own are `false`, which nothing matches.
    properties: Part = {name: part for name, part in schema.get("properties", {}).items() if part}
    value = {name: draw(plain_value(properties[name])) for name in schema.get("required", []) if name not in default}
    if properties and ("patternProperties" not in schema or draw(st.booleans())):
        name = draw(st.sampled_from(sorted(properties)))
        return value | {name: draw(_value(properties[name], default.get(name)))}
    pattern, part = next(iter(schema.get("patternProperties", {}).items()), ("", {"type": "string"}))
    return value | {draw(_text(pattern)): draw(_value(part))}


@st.composite
def _text(draw: Draw, pattern: str, longest: int = 300) -> str:
    """A string that matches, one that would without its end, or a hostile one."""
    hostile = st.sampled_from(HOSTILE)
    if not pattern or pattern.startswith("^[^"):
        return str(draw(hostile | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)))
    right = st.from_regex(pattern, fullmatch=True).map(lambda text: text[:longest])
    return str(draw(right | right | hostile | st.tuples(right, st.sampled_from(SUFFIXES)).map("".join)))


def _number(schema: Part, choices: list[Any]) -> st.SearchStrategy[Any]:
    """A number within the bounds more often than one beyond them."""
    within = [n for n in choices if schema.get("minimum", -math.inf) <= n <= schema.get("maximum", math.inf)]
    return st.sampled_from(within) | st.sampled_from(within) | st.sampled_from(choices)


def plain_value(schema: Part) -> st.SearchStrategy[Any]:
    """A harmless value for what an object requires."""
    schema = resolved(schema)
    if "anyOf" in schema:
        return plain_value(schema["anyOf"][-1])
    if "enum" in schema:
        return st.just(schema["enum"][0])
    required: Part = {name: schema["properties"][name] for name in schema.get("required", [])}
    of_kind: dict[str, st.SearchStrategy[Any]] = {
        "object": st.fixed_dictionaries({name: plain_value(part) for name, part in required.items()}),
        "array": st.just([]),
        "integer": st.just(schema.get("minimum", 1)),
        "boolean": st.booleans(),
    }
    return of_kind.get(schema.get("type", "object"), st.sampled_from(["a", "b", "c1"]))


def resolved(schema: Part) -> Part:
    """The definition that a part refers to, or the part itself."""
    while "$ref" in schema or "allOf" in schema:
        schema = schema["allOf"][0] if "allOf" in schema else ROOT["definitions"][schema["$ref"].rpartition("/")[2]]
    return schema


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each scalar of a value with its path."""
    if isinstance(value, dict) and value:
        for name, part in value.items():
            yield from leaves(part, (*path, name))
    elif isinstance(value, list) and value:
        for index, part in enumerate(value):
            yield from leaves(part, (*path, str(index)))
    else:
        yield path, value


def _merge(values: Part, more: Any) -> None:
    if not isinstance(more, dict):
        return
    for name, value in more.items():
        if isinstance(value, dict) and isinstance(values.get(name), dict):
            _merge(values[name], value)
        else:
            values[name] = value
