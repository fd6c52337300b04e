"""Public names are listed and documented."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path
from types import ModuleType

import pytest

import mqtt_trace

REFERENCE = Path(__file__).parents[2] / "docs" / "reference.md"
MODULES = ["mqtt_trace", "mqtt_trace.aio", "mqtt_trace.instrumentation", "mqtt_trace.reasons", "mqtt_trace.topics"]


def test_every_other_module_has_an_underscore() -> None:
    """Every module that is not documented has an underscore in its name."""
    public = [
        module.name
        for module in pkgutil.walk_packages(mqtt_trace.__path__, "mqtt_trace.")
        if not any(part.startswith("_") for part in module.name.split("."))
    ]
    assert ["mqtt_trace", *sorted(public)] == MODULES


@pytest.mark.parametrize("name", MODULES)
def test_a_public_module_lists_all_that_it_defines(name: str) -> None:
    """`__all__` has every public name that a module defines, and no other."""
    module = importlib.import_module(name)
    assert set(module.__all__) >= defined(module)
    assert all(hasattr(module, public) for public in module.__all__)


def test_the_reference_documents_every_public_name() -> None:
    """docs/reference.md has each name of each `__all__`, and no private name."""
    documented = set(re.findall(r"^::: (mqtt_trace[\w.]*)$", REFERENCE.read_text(), re.MULTILINE))
    public = {f"{name}.{one}" for name in MODULES for one in importlib.import_module(name).__all__}
    assert {one for one in documented if not one.startswith("mqtt_trace_service.")} == public - {
        "mqtt_trace.__version__"
    }


def test_pahos_client_is_imported_in_three_packages_only() -> None:
    """Only `_paho`, `_spans` and `instrumentation` import paho's client."""
    package = Path(mqtt_trace.__file__).parent
    importing = {
        path.relative_to(package).parts[0]
        for path in package.rglob("*.py")
        if re.search(r"^\s*(from|import) paho\.mqtt\.client\b", path.read_text(), re.MULTILINE)
    }
    assert importing == {"_paho", "_spans", "instrumentation"}


def defined(module: ModuleType) -> set[str]:
    """The public names that a module defines."""
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    }
