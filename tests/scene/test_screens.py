"""What Image Editors show when a result takes an image's place, in all workspaces, and after undo and redo."""
from __future__ import annotations

from pathlib import Path

import bpy
import pytest

from blender_sd import scene
from blender_sd.scene import screens
from tests.support.pictures import colours, generated, result


@pytest.fixture(autouse=True)
def handlers():
    yield
    scene.release()
    assert not [
        one for one in (*bpy.app.handlers.undo_post, *bpy.app.handlers.redo_post) if one.__module__.endswith("screens")]


@pytest.fixture
def start_file() -> None:
    """Blender's own start-up file: workspaces with Image and UV Editors, none of them on screen."""
    bpy.ops.wm.read_factory_settings(use_empty=False)
    bpy.context.preferences.edit.use_global_undo = True


def spaces() -> dict[str, bpy.types.SpaceImageEditor]:
    """One editor of each workspace that has one."""
    return {
        screen.name: area.spaces.active for screen in bpy.data.screens for area in screen.areas
        if area.type == "IMAGE_EDITOR"}


def shown() -> dict[str, str]:
    return {name: space.image.name if space.image else "" for name, space in spaces().items()}


def base_image() -> bpy.types.Image:
    tree = bpy.data.objects["Cube"].active_material.node_tree
    return next(node.image for node in tree.nodes if node.type == "TEX_IMAGE")


def old_in(*names: str) -> bpy.types.Image:
    """An image in the cube's base color and in the editors of these workspaces, with an undo step."""
    old = generated(colours(2, 2), "old")
    old.pack()
    scene.apply_image(old, bpy.data.objects["Cube"])
    for name in names:
        spaces()[name].image = old
    assert scene.push_undo("old")
    return old


def test_a_slots_editors_end_on_the_result_and_undo_leads_back(start_file: None, tmp_path: Path) -> None:
    old_in("Shading", "UV Editing")
    spaces()["Shading"].use_image_pin = True
    before = shown()
    for name, names in (("first", {"old"}), ("second", {"first"})):
        target = scene.freeze_target(bpy.context, "slot")
        scene.commit(target, [result(tmp_path / f"{name}.png", colours(4, 4), prompt=name)])
        assert base_image().name == name
        assert shown() == {**before, "Shading": name, "UV Editing": name}, "pinned or not, on screen or not"
        assert names <= {image.name for image in bpy.data.images if image.use_fake_user}
    for expected in ("first", "old"):
        bpy.ops.ed.undo()
        assert base_image().name == expected and shown() == {**before, "Shading": expected, "UV Editing": expected}
    for expected in ("first", "second"):
        bpy.ops.ed.redo()
        assert base_image().name == expected and shown() == {**before, "Shading": expected, "UV Editing": expected}


def test_an_undo_over_two_results_ends_at_the_oldest(start_file: None, tmp_path: Path) -> None:
    old_in("Shading")
    for name in ("first", "second"):
        scene.commit(scene.freeze_target(bpy.context, "slot"),
                     [result(tmp_path / f"{name}.png", colours(4, 4), prompt=name)])
    bpy.ops.ed.undo_history(item=0)
    assert base_image().name == "old" == spaces()["Shading"].image.name


def test_redo_leaves_an_editor_alone_that_shows_something_else_by_now(start_file: None, tmp_path: Path) -> None:
    old_in("Shading", "Texture Paint")
    scene.commit(scene.freeze_target(bpy.context, "slot"), [result(tmp_path / "n.png", colours(4, 4), prompt="new")])
    bpy.ops.ed.undo()
    other = bpy.data.images.get("Render Result") or bpy.data.images.new("other", 2, 2)
    spaces()["Shading"].image = other
    bpy.ops.ed.redo()
    assert shown()["Shading"] in ("", "Render Result", "other") and shown()["Texture Paint"] == "new"


def test_what_an_editor_shows_is_replaced_wherever_it_is_used(start_file: None, tmp_path: Path) -> None:
    """A job that was started in an Image Editor is about its image, and so about all that wears it."""
    old = old_in("Texture Paint")
    other = bpy.data.materials.new("other")
    other.use_nodes = True
    node = other.node_tree.nodes.new("ShaderNodeTexImage")
    node.image = old
    old.colorspace_settings.name = "Non-Color"
    paint = bpy.context.scene.tool_settings.image_paint
    paint.mode, paint.canvas = "IMAGE", old
    target = scene.Target("editor", scene.new_image_target().scenes, image=scene.targets.identity(old))
    made, = scene.commit(target, [result(tmp_path / "n.png", colours(4, 4), prompt="new")])
    assert base_image() == node.image == paint.canvas == spaces()["Texture Paint"].image == made
    assert made.colorspace_settings.is_data and old.use_fake_user


def test_an_editors_image_that_was_deleted_meanwhile_costs_nothing(start_file: None, tmp_path: Path) -> None:
    old = generated(colours(2, 2), "old")
    target = scene.Target("editor", scene.new_image_target().scenes, image=scene.targets.identity(old))
    bpy.data.images.remove(old)
    made, = scene.commit(target, [result(tmp_path / "n.png", colours(4, 4), prompt="new")])
    assert made.use_fake_user


def test_an_image_linked_from_another_file_is_replaced_where_that_can_be(start_file: None, tmp_path: Path) -> None:
    old_in()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "library.blend"))
    bpy.ops.wm.read_factory_settings(use_empty=False)
    with bpy.data.libraries.load(str(tmp_path / "library.blend"), link=True) as (there, here):
        here.materials = there.materials
        here.images = ["old"]
    linked = next(material for material in bpy.data.materials
                  if material.library is not None and material.name == "Material")
    old = bpy.data.images["old"]
    scene.apply_image(old, bpy.data.objects["Cube"])
    target = scene.Target("editor", scene.new_image_target().scenes, image=scene.targets.identity(old))
    made, = scene.commit(target, [result(tmp_path / "n.png", colours(4, 4), prompt="new")])
    assert base_image() == made
    assert [node.image for node in linked.node_tree.nodes if node.type == "TEX_IMAGE"] == [old]


def test_a_material_target_knows_whose_place_it_takes(start_file: None) -> None:
    cube = bpy.data.objects["Cube"]
    old = old_in("Shading")
    assert scene.materials.image_in(cube.active_material, "base color") == old
    assert scene.materials.image_in(cube.active_material, "Roughness") is None
    bump = generated(colours(2, 2), "bump")
    scene.apply_image(bump, cube, "Normal")
    assert scene.materials.image_in(cube.active_material, "Normal") == bump
    assert scene.materials.image_in(bpy.data.materials.new("plain"), "Base Color") is None


def test_without_a_window_no_editor_is_taken() -> None:
    image = generated(colours(2, 2))
    assert screens.show_in_editor(image) is False and screens.viewers(image, None, needed=True) == []


def test_two_jobs_that_were_queued_for_one_image_both_end_in_its_place(start_file: None, tmp_path: Path) -> None:
    old = old_in("Shading")
    queued = [
        scene.Target("editor",
                     scene.new_image_target().scenes, image=scene.targets.identity(old)) for _ in range(2)]
    queued += [scene.freeze_target(bpy.context, "slot")]
    for number, target in enumerate(queued):
        scene.commit(target, [result(tmp_path / f"{number}.png", colours(4, 4), prompt=f"result {number}")])
        assert base_image().name == spaces()["Shading"].image.name == f"result {number}"
    bpy.ops.ed.undo_history(item=0)
    scene.commit(queued[0], [result(tmp_path / "3.png", colours(4, 4), prompt="after undo")])
    assert base_image().name == spaces()["Shading"].image.name == "after undo"


# ---- which open editors a result ends in, as if those of all workspaces were open -----------------------------------


@pytest.fixture
def opened(start_file: None, monkeypatch: pytest.MonkeyPatch) -> dict[str, bpy.types.SpaceImageEditor]:
    """The Image Editors of the start-up file by workspace, each with an image of that name."""
    monkeypatch.setattr(
        screens, "areas",
        lambda kind: [area for screen in bpy.data.screens for area in screen.areas if area.type == kind])
    found = spaces()
    for name, space in found.items():
        space.image = generated(colours(2, 2), name)
    return found


def viewers(*args, needed: bool = False) -> set[str]:
    chosen = screens.viewers(*args, needed=needed)
    return {name for name, space in spaces().items() if space in chosen}


def test_a_result_ends_where_its_source_is_shown_and_where_it_was_ordered(opened: dict) -> None:
    old = opened["Shading"].image
    opened["UV Editing"].image = old
    started = screens.Editor(opened["Rendering"].as_pointer(), opened["Rendering"].image.session_uid)
    assert viewers(old, None) == {"Shading", "UV Editing"}
    assert viewers(None, started) == {"Rendering"}
    assert viewers(old, started) == {"Shading", "UV Editing", "Rendering"}
    screens.show(opened["Rendering"], generated(colours(2, 2), "result of the job before"))
    assert viewers(None, started) == {"Rendering"}
    opened["Rendering"].image = old
    opened["Rendering"].image = generated(colours(2, 2), "what the artist looks at now")
    assert viewers(None, started) == set()


def test_an_empty_editor_is_filled_and_others_only_where_that_is_needed(opened: dict) -> None:
    assert viewers(None, None) == set() and len(viewers(None, None, needed=True)) == 1
    opened["Shading"].image = None
    opened["UV Editing"].image = None
    for needed in (False, True):
        assert viewers(None, None, needed=needed) == {"Shading"}, "a UV Editor is no place for a new picture"
    opened["Shading"].use_image_pin = True
    assert viewers(None, None) == set()


def test_a_pinned_editor_and_the_render_are_taken_last(opened: dict) -> None:
    for name, space in opened.items():
        space.use_image_pin = name not in ("Rendering", "Texture Paint")
    opened["Texture Paint"].image = next(image for image in bpy.data.images if image.type == "RENDER_RESULT")
    assert viewers(None, None, needed=True) == {"Rendering"}
    opened["Rendering"].use_image_pin = True
    assert viewers(None, None, needed=True) == {"Texture Paint"}


def test_a_job_of_another_file_ends_in_none(opened: dict) -> None:
    target = scene.new_image_target()
    assert len(scene.targets.viewers_of(target)) == 1
    bpy.ops.wm.read_factory_settings(use_empty=False)
    assert scene.targets.viewers_of(target) == []


def test_the_canvas_follows_undo_and_redo(start_file: None, tmp_path: Path) -> None:
    """Blender keeps a scene's canvas out of undo."""
    paint = lambda: bpy.context.scene.tool_settings.image_paint  # noqa: E731 (undo makes another scene)
    old = old_in("Shading")
    paint().canvas = old
    assert scene.push_undo("the canvas")
    scene.commit(scene.freeze_target(bpy.context, "slot"), [result(tmp_path / "new.png", colours(4, 4), prompt="new")])
    assert paint().canvas.name == "new"
    bpy.ops.ed.undo()
    assert paint().canvas.name == "old"
    bpy.ops.ed.redo()
    assert paint().canvas.name == "new"
