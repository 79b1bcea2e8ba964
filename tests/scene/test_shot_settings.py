"""Settings that follow the scene's properties, also those that only the add-on knows."""
from __future__ import annotations

import bpy
import pytest

from blender_sd.core.errors import InvalidRequest
from blender_sd.scene import shot_settings


class Panel(bpy.types.PropertyGroup):
    strength: bpy.props.FloatProperty()
    guidance: bpy.props.FloatProperty()


@pytest.fixture
def panel():
    bpy.utils.register_class(Panel)
    bpy.types.Scene.sd = bpy.props.PointerProperty(type=Panel)
    yield bpy.context.scene
    if hasattr(bpy.types.Scene, "sd"):
        del bpy.types.Scene.sd
    bpy.utils.unregister_class(Panel)


def animate(scene) -> None:
    for frame, value in ((1, 0.0), (11, 1.0)):
        scene.sd.strength = value
        scene.sd.keyframe_insert("strength", frame=frame)
    scene.sd.driver_add("guidance").driver.expression = "frame * 2"


def read(scene, paths, frame) -> list[float]:
    scene.frame_set(frame)
    return [scene.path_resolve(path) for _, path in paths]


def test_keyframes_and_drivers_are_seen_with_the_add_on_and_without(panel):
    animate(panel)
    texts = shot_settings.animated_paths(panel, ("strength", "guidance", "seed"))
    assert texts == ("strength=sd.strength", "guidance=sd.guidance")
    pairs = shot_settings.varying_of(texts)
    with shot_settings.readable(panel, pairs) as paths:
        assert paths == pairs and read(panel, paths, 6) == pytest.approx([0.5, 12])
    del bpy.types.Scene.sd  # as in a Blender without the add-on
    with shot_settings.readable(panel, pairs) as paths:
        assert read(panel, paths, 6) == pytest.approx([0.5, 12])
        assert read(panel, paths, 11) == pytest.approx([1, 22])
    assert not [key for key in panel.keys() if "blender_sd" in key]
    assert {curve.data_path for curve in shot_settings.compat.fcurves_of(panel)} == {"sd.strength", "sd.guidance"}


def test_keyframes_are_read_without_going_to_their_frames(panel):
    animate(panel)
    pairs = (("strength", "sd.strength"), ("guidance", "sd.guidance"), ("seed", "sd.seed"))
    panel.frame_set(3)
    values = shot_settings.keyframed(panel, pairs, (1, 6, 11, 500))
    assert values == {"strength": pytest.approx({1: 0, 6: 0.5, 11: 1, 500: 1})} and panel.frame_current == 3


def test_values_stay_within_their_limits():
    assert shot_settings.within("strength", 1.2) == 1 and shot_settings.within("regions/0", -3) == 0
    assert shot_settings.within("seed", 7.6) == 8 and shot_settings.within("guidance", 1e9) == 100


def test_what_is_no_setting_is_refused():
    assert shot_settings.varying_of(('strength=["a=b"]',)) == (("strength", '["a=b"]'),)
    for text in ("strength", "=a", "strength="):
        with pytest.raises(InvalidRequest, match="names no setting"):
            shot_settings.varying_of((text,))
