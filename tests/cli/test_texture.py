"""The command `texture`: what it takes, and what it refuses before anything begins."""
from __future__ import annotations

import pytest

from blender_sd.cli.commands import texture
from blender_sd.cli.main import all_commands


def test_it_is_a_command():
    assert all_commands()["texture"] is texture


def test_parts_are_names_and_prompts():
    assert texture._part("Gold = old gold, worn") == ("Gold", "old gold, worn")
    for wrong in ("Gold", "=gold", "Gold="):
        with pytest.raises(Exception, match="NAME=PROMPT"):
            texture._part(wrong)


def test_views_without_blender_are_names():
    assert texture._views("auto") == "auto"
    assert texture._views("front, left") == ["front", "left"]
