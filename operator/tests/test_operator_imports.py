"""The folder's name is also that of a module of Python."""

from __future__ import annotations

import operator


def test_pythons_own_operator_module_stays() -> None:
    """These tests are collected from the folder `operator` without replacing the standard library's module."""
    assert operator.itemgetter(0)(["first"]) == "first"
    assert __name__ == "tests.test_operator_imports"
