"""Settings that follow properties of the scene from frame to frame: keyframed, driven or neither.

The panel's settings are properties that the add-on registers. A Blender without it knows only their curves, so these
are led to properties that every Blender has.
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import bpy

from ..core.common_settings import MAX_SEED
from ..core.errors import InvalidRequest
from . import compat

_LIMITS = {"guidance": (0.0, 100.0), "seed": (0, MAX_SEED)}  # of all others: 0 to 1
_OURS = "sd."  # how data paths of the panel's settings begin
_STAND_IN = "blender_sd "


def varying_of(texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return pairs of a setting and a data path for texts such as "strength=sd.strength". Raises InvalidRequest."""
    pairs = []
    for text in texts:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise InvalidRequest(f"'{text:.60}' names no setting and property.", "Write it as strength=sd.strength.")
        pairs.append((name, path))
    return tuple(pairs)


def animated_paths(scene: bpy.types.Scene, names: Sequence[str]) -> tuple[str, ...]:
    """Return which of the panel's settings are keyframed or driven, as texts for `varying_of`."""
    moved = {curve.data_path for curve in compat.fcurves_of(scene) if not curve.mute}
    return tuple(f"{name}={_OURS}{name}" for name in names if f"{_OURS}{name}" in moved)


def keyframed(scene: bpy.types.Scene, varying: Sequence[tuple[str, str]], frames: Sequence[int]
              ) -> dict[str, dict[int, float]]:
    """Return the values over time of those settings that are keyframed and not driven, by name and frame. The scene
    stays at its frame."""
    driven = {curve.data_path for curve in scene.animation_data.drivers} if scene.animation_data else set()
    curves = {curve.data_path: curve for curve in compat.fcurves_of(scene)
              if curve.data_path not in driven and not curve.mute}
    return {name: {frame: within(name, curves[path].evaluate(frame)) for frame in frames}
            for name, path in varying if path in curves}


def within(name: str, value: float) -> float:
    """Return the value of a setting within its limits, which a curve may overshoot; a seed as a whole number."""
    low, high = _LIMITS.get(name, (0.0, 1.0))
    kept = min(max(value, low), high)
    return round(kept) if name == "seed" else float(kept)


@contextmanager
def readable(scene: bpy.types.Scene, varying: Sequence[tuple[str, str]]) -> Iterator[tuple[tuple[str, str], ...]]:
    """Return a context in which the properties can be read at every frame: pairs as given, where necessary with other
    data paths."""
    led: list[tuple[bpy.types.FCurve, str]] = []
    made = []
    pairs = []
    for name, path in varying:
        if path.startswith(_OURS) and not hasattr(scene, _OURS[:-1]):
            key = f"{_STAND_IN}{path}"
            scene[key] = 0.0
            made.append(key)
            for curve in [curve for curve in compat.fcurves_of(scene) if curve.data_path == path]:
                led.append((curve, path))
                curve.data_path = f'["{key}"]'
            path = f'["{key}"]'
        pairs.append((name, path))
    try:
        yield tuple(pairs)
    finally:
        for curve, path in led:
            curve.data_path = path
        for key in made:
            del scene[key]
