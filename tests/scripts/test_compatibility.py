"""The page about compatibility says what the tests' table says, and each row has its test."""
from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import pytest

from tests.support.compatibility import SECTIONS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("compatibility", ROOT / "scripts" / "compatibility.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_current(script):
    text = script.PAGE.read_text(encoding="utf-8")
    assert script.page(text) == text, "run python scripts/compatibility.py"


def test_each_row_names_a_test_that_exists():
    named = {row.test for rows in SECTIONS.values() for row in rows}
    files = {name.partition("::")[0] for name in named}
    there = {f"{file}::{node.name}" for file in files
             for node in ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8")).body
             if isinstance(node, ast.FunctionDef)}
    assert named <= there, named - there
