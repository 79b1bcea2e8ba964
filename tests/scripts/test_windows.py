"""scripts/windows.py: what goes into the Windows under Wine."""
from __future__ import annotations

import windows


def test_the_packages_are_the_pins_for_windows_but_what_wine_cannot_run():
    pins = dict(pin.split("==") for pin in windows.pins())
    assert pins["numpy"] == windows.INSTEAD["numpy"] and pins["scipy"] == windows.INSTEAD["scipy"]
    assert {"torch", "diffusers", "bpy", "pytest", "colorama",
            "spandrel"} <= pins.keys(), "colorama is for Windows alone"
    wanted = dict(
        line.split("==") for line in windows._lines("engine.txt") if ";" not in line and not line.startswith("scipy"))
    assert {name: pins[name] for name in wanted
            if name in pins} == {name: wanted[name] for name in wanted if name in pins}
