"""scripts/windows.py: what goes into the Windows under Wine."""
from __future__ import annotations

import re
from pathlib import Path

import windows

TESTS = Path(__file__).parents[1]


def test_the_packages_are_the_pins_for_windows_but_what_wine_cannot_run():
    pins = dict(pin.split("==") for pin in windows.pins())
    assert pins["numpy"] == windows.INSTEAD["numpy"] and pins["scipy"] == windows.INSTEAD["scipy"]
    assert {"torch", "diffusers", "bpy", "pytest", "colorama",
            "spandrel"} <= pins.keys(), "colorama is for Windows alone"
    wanted = dict(
        line.split("==") for line in windows._lines("engine.txt") if ";" not in line and not line.startswith("scipy"))
    assert {name: pins[name] for name in wanted
            if name in pins} == {name: wanted[name] for name in wanted if name in pins}


def test_packages_that_tests_ask_for_are_there():
    """Without them, tests would be skipped under Wine."""
    sources = (file.read_text(encoding="utf-8") for file in TESTS.rglob("*.py"))
    asked_for = {name for source in sources for name in re.findall(r"importorskip\(\"(\w+)", source)}
    offered = {line.partition("==")[0].lower() for line in windows._lines("test.txt")}
    offered.remove("quickjs")  # has no wheel for Windows' Python 3.13; farms' managers run their scripts elsewhere
    assert offered & asked_for
    assert offered & asked_for <= {pin.partition("==")[0].lower() for pin in windows.pins()}
