"""The rendered scenes that the starter is trained on: what they are of, and how they are restyled and measured."""

from __future__ import annotations

import numpy as np

from starter import captions, materials, scenes


def test_scenes_are_the_same_at_every_call_and_take_the_families_in_turn():
    listed = [scenes.scene_of("scenes", index) for index in range(62)]
    assert listed == [scenes.scene_of("scenes", index) for index in range(62)]
    for number, scene in enumerate(listed):
        assert scene.spec is None or scene.spec.family == materials.FAMILIES[number % len(materials.FAMILIES)]
    assert {shape for scene in listed for shape in scene.shapes} == set(scenes.SHAPES)
    assert 4 <= sum(scene.spec is None for scene in listed) <= 22 and any(scene.room for scene in listed)
    assert not {scene.seed for scene in listed} & {scenes.scene_of("held_scenes", i).seed for i in range(62)}


def test_scenes_are_described_in_words_that_the_model_knows():
    rng, known = np.random.default_rng(0), set(captions.vocabulary())
    for index in range(200):
        scene = scenes.scene_of("scenes", index)
        for text in (scenes.caption(scene, rng), scenes.prompt(scene)):
            assert {word.strip(",") for word in text.split()} <= known, text


def test_what_shows_the_material_is_the_objects_or_the_room():
    things = np.array([[1, 2, scenes.FLOOR], [1, scenes.WALL, 0]])
    objects = scenes.Scene(("box", "torus"), None, "red", False, 1)
    room = scenes.Scene(("box", "torus"), None, "red", True, 1)
    assert [int(part.sum()) for part in scenes.shown(objects, things)] == [2, 1]
    assert [int(part.sum()) for part in scenes.shown(room, things)] == [1, 1]


def test_a_set_of_another_length_keeps_the_scenes_that_it_has(tmp_path):
    scenes.lay_out(tmp_path, "scenes", 3)
    scenes.ready(tmp_path, "scenes")[:2] = 1
    scenes.load(tmp_path, "scenes", "r+")["depth"][1] = 7
    for number in (5, 2):
        scenes.lay_out(tmp_path, "scenes", number)
        assert list(scenes.ready(tmp_path, "scenes")) == [1, 1, 0, 0, 0][:number]
        depth = scenes.load(tmp_path, "scenes")["depth"]
        assert len(depth) == number and (depth[1] == 7).all() and not depth[0].any()
