from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
import pytest

from blender_sd import scene
from blender_sd.core.errors import SourceUnusable, TargetUnusable
from blender_sd.protocol.messages import Result
from blender_sd.core.request import Request
from tests.support.pictures import colours, generated, raw_pixels, result


def base_image(obj: bpy.types.Object) -> bpy.types.Image:
    nodes = obj.active_material.node_tree.nodes
    shader = next(node for node in nodes if node.type == "BSDF_PRINCIPLED")
    return shader.inputs["Base Color"].links[0].from_node.image


def test_material_target_is_found_again_after_renaming(cube: bpy.types.Object) -> None:
    scene.apply_image(generated(colours(2, 2)), cube)
    target = scene.freeze_target(bpy.context, "material")
    cube.name, cube.active_material.name = "renamed", "also renamed"
    image = generated(colours(2, 2), "new")
    scene.place(target, [image])
    assert base_image(cube) == image and not image.use_fake_user


def test_material_is_made_at_the_commit(cube: bpy.types.Object) -> None:
    target = scene.freeze_target(bpy.context, "material")
    assert cube.active_material is None
    image = generated(colours(2, 2))
    scene.place(target, [image])
    assert base_image(cube) == image


def test_target_keeps_the_clicks_material_when_the_selection_moves_on(cube: bpy.types.Object) -> None:
    target = scene.freeze_target(bpy.context, "material")
    bpy.ops.mesh.primitive_plane_add()
    image = generated(colours(2, 2))
    scene.place(target, [image])
    assert base_image(cube) == image and bpy.context.object.active_material is None


def test_several_pictures_the_others_are_kept(cube: bpy.types.Object) -> None:
    images = [generated(colours(2, 2), str(index)) for index in range(3)]
    scene.place(scene.freeze_target(bpy.context, "material"), images)
    assert base_image(cube) == images[0]
    assert [image.use_fake_user for image in images] == [False, True, True]


@pytest.mark.parametrize("gone", ["object", "material"])
def test_deleted_target_keeps_the_picture(cube: bpy.types.Object, gone: str) -> None:
    scene.apply_image(generated(colours(2, 2)), cube)
    target = scene.freeze_target(bpy.context, "material")
    if gone == "object":
        bpy.data.objects.remove(cube)
    else:
        bpy.data.materials.remove(cube.active_material)
    image = generated(colours(2, 2), "kept")
    with pytest.raises(TargetUnusable, match="deleted.*kept as the image 'kept'"):
        scene.place(target, [image])
    assert image.use_fake_user


def test_another_scene_in_the_same_file_is_no_other_file(cube: bpy.types.Object, tmp_path: Path) -> None:
    target = scene.freeze_target(bpy.context, "material")
    bpy.data.scenes.new("another")
    bpy.data.scenes.remove(bpy.data.scenes["Scene"])
    image, = scene.commit(target, [result(tmp_path / "n.png", colours(4, 4))])
    assert base_image(cube) == image


def test_what_is_nowhere_else_goes_into_another_file(cube: bpy.types.Object, tmp_path: Path) -> None:
    target = scene.freeze_target(bpy.context, "material")
    bpy.ops.wm.read_factory_settings(use_empty=True)
    with pytest.raises(TargetUnusable, match="Another file was opened.*kept as the image 'red'"):
        scene.commit(target, [Result("", Request(prompt="red"), 4, 4, colours(4, 4))])
    assert bpy.data.images["red"].use_fake_user and bpy.data.images["red"].packed_file


def test_deleted_image_node_keeps_the_picture(cube: bpy.types.Object) -> None:
    material = scene.apply_image(generated(colours(2, 2)), cube)
    target = scene.freeze_target(bpy.context, "slot")
    material.node_tree.nodes.remove(material.node_tree.nodes.active)
    with pytest.raises(TargetUnusable, match="kept as the image"):
        scene.place(target, [generated(colours(2, 2))])


def test_another_file_takes_nothing(cube: bpy.types.Object, tmp_path: Path) -> None:
    path = str(tmp_path / "same.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    targets = [scene.freeze_target(bpy.context, kind) for kind in ("new", "material")]
    made = result(tmp_path / "r.png", colours(4, 4))
    bpy.ops.wm.open_mainfile(filepath=path)  # the very same file: names match, and yet it is another
    for target in targets:
        before = len(bpy.data.images)
        with pytest.raises(TargetUnusable, match="Another file"):
            scene.commit(target, [made])
        assert len(bpy.data.images) == before
        with pytest.raises(TargetUnusable, match="Another file"):
            scene.place(target, [generated(colours(2, 2))])


def test_saving_under_another_name_is_no_other_file(cube: bpy.types.Object, tmp_path: Path) -> None:
    target = scene.freeze_target(bpy.context, "material")
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "f.blend"))
    image = generated(colours(2, 2))
    scene.place(target, [image])
    assert base_image(cube) == image


def test_refused_at_the_click() -> None:
    with pytest.raises(TargetUnusable, match="no active object"):
        scene.freeze_target(bpy.context, "material")
    with pytest.raises(TargetUnusable, match="no camera"):
        scene.freeze_target(bpy.context, "camera_background")
    with pytest.raises(TargetUnusable, match="Choose one of"):
        scene.freeze_target(bpy.context, "everywhere")
    bpy.ops.object.light_add()
    with pytest.raises(TargetUnusable, match="not a mesh"):
        scene.freeze_target(bpy.context, "material")
    with pytest.raises(SourceUnusable, match="no active image slot"):
        scene.freeze_target(bpy.context, "slot")


def linked_cube(folder: Path) -> bpy.types.Object:
    """Save the cube to a library and link it, in its place, from there."""
    path = str(folder / "library.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path, copy=True)
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    with bpy.data.libraries.load(path, link=True) as (_, wanted):
        wanted.objects = ["Cube"]
    cube = next(obj for obj in bpy.data.objects if obj.library)
    bpy.context.collection.objects.link(cube)
    bpy.context.view_layer.objects.active = cube
    return cube


def test_automatic_is_the_selected_meshs_base_color_else_a_new_image(cube: bpy.types.Object) -> None:
    assert scene.freeze_target(bpy.context, "auto").obj.name == cube.name
    cube.select_set(False)
    assert scene.freeze_target(bpy.context, "auto").kind == "new", "active, but not selected"
    bpy.ops.object.mode_set(mode="EDIT")
    assert scene.freeze_target(bpy.context, "auto").kind == "material", "what is being edited is what is worked on"
    bpy.ops.object.mode_set(mode="OBJECT")
    bpy.ops.object.light_add()
    assert scene.freeze_target(bpy.context, "auto").kind == "new"


def test_automatic_says_why_a_selected_mesh_cannot_take_a_picture(cube: bpy.types.Object, tmp_path: Path) -> None:
    cube.data.materials.clear()
    linked_cube(tmp_path).select_set(True)
    with pytest.raises(TargetUnusable, match="linked from another file"):
        scene.freeze_target(bpy.context, "auto")
    empty = bpy.data.objects.new("empty", bpy.data.meshes.new("empty"))
    bpy.context.collection.objects.link(empty)
    bpy.context.view_layer.objects.active = empty
    empty.select_set(True)
    with pytest.raises(TargetUnusable, match="no faces"):
        scene.freeze_target(bpy.context, "auto")


def test_a_mesh_in_edit_mode_has_the_faces_that_are_on_screen(cube: bpy.types.Object) -> None:
    bpy.ops.object.mode_set(mode="EDIT")
    assert scene.freeze_target(bpy.context, "material").obj.name == cube.name
    bpy.ops.mesh.select_all(action="SELECT")
    bpy.ops.mesh.delete(type="ONLY_FACE")
    with pytest.raises(TargetUnusable, match="no faces"):
        scene.freeze_target(bpy.context, "material")


def test_the_placement_names_what_was_made(cube: bpy.types.Object) -> None:
    cube.data.materials.clear()
    while cube.data.uv_layers:
        cube.data.uv_layers.remove(cube.data.uv_layers[0])
    target = scene.freeze_target(bpy.context, "material")
    made = [scene.place(target, [generated(colours(2, 2), name)]) for name in ("first", "second")]
    assert [(one.image.name, one.owner, one.slot, one.made) for one in made] == [
        ("first", cube.name, "Base Color", ("material", "UV map")), ("second", cube.name, "Base Color", ())]
    assert scene.place(scene.new_image_target(), [generated(colours(2, 2), "third")]).owner == ""


def test_slot_gets_the_result_and_the_original_survives_saving(cube: bpy.types.Object, tmp_path: Path) -> None:
    wanted = colours(5, 4)
    original = scene.load_result(result(tmp_path / "o.png", wanted, prompt="original"))
    scene.apply_image(original, cube)
    image, target = scene.active_slot_image(bpy.context)
    assert image == original
    made = scene.commit(target, [result(tmp_path / "n.png", colours(4, 4), prompt="new")], "moss")
    assert base_image(cube) == made[0] and made[0].name == "new"
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "f.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "f.blend"))
    assert np.array_equal(raw_pixels(bpy.data.images["original"]), wanted)
    assert base_image(bpy.data.objects["Cube"]).name == "new"


def test_slot_is_found_by_its_image_when_the_node_was_renamed(cube: bpy.types.Object) -> None:
    material = scene.apply_image(generated(colours(2, 2)), cube)
    _, target = scene.active_slot_image(bpy.context)
    material.node_tree.nodes.active.name = "other"
    image = generated(colours(2, 2))
    scene.place(target, [image])
    assert base_image(cube) == image


def test_slot_without_an_active_node_is_base_color(cube: bpy.types.Object) -> None:
    image = generated(colours(2, 2))
    material = scene.apply_image(image, cube)
    material.node_tree.nodes.active = next(node for node in material.node_tree.nodes if node.type == "BSDF_PRINCIPLED")
    assert scene.active_slot_image(bpy.context)[0] == image


def test_paint_slot_and_canvas(cube: bpy.types.Object) -> None:
    colour, rough = generated(colours(2, 2), "colour"), generated(colours(2, 2), "rough")
    material = scene.apply_image(colour, cube)
    scene.apply_image(rough, cube, "Roughness")
    bpy.ops.object.mode_set(mode="TEXTURE_PAINT")
    bpy.context.view_layer.update()
    names = [image.name for image in material.texture_paint_images]
    material.paint_active_slot = names.index("rough")
    image, target = scene.active_slot_image(bpy.context)
    assert image == rough
    made = generated(colours(2, 2), "made")
    scene.place(target, [made])
    shader = next(node for node in material.node_tree.nodes if node.type == "BSDF_PRINCIPLED")
    assert shader.inputs["Roughness"].links[0].from_node.image == made and base_image(cube) == colour
    bpy.context.view_layer.update()
    assert made in list(material.texture_paint_images) and rough not in list(
        material.texture_paint_images), "strokes go into the result"

    paint = bpy.context.scene.tool_settings.image_paint
    paint.mode, paint.canvas = "IMAGE", colour
    image, target = scene.active_slot_image(bpy.context)
    assert image == colour
    made = generated(colours(2, 2), "made on canvas")
    scene.place(target, [made])
    assert paint.canvas == made and colour.use_fake_user


def test_camera_background_is_replaced_not_piled_up(tmp_path: Path) -> None:
    bpy.ops.object.camera_add()
    camera = bpy.context.scene.camera = bpy.context.object
    own = camera.data.background_images.new()
    own.image = generated(colours(2, 2), "the artist's own")
    target = scene.freeze_target(bpy.context, "camera_background")
    for index in range(2):
        images = scene.commit(target, [result(tmp_path / f"{index}.png", colours(4, 4))])
    shown = [background.image.name for background in camera.data.background_images]
    assert shown == ["the artist's own", images[0].name] and camera.data.show_background_images


def test_one_undo_step_brings_the_original_back(cube: bpy.types.Object, tmp_path: Path) -> None:
    bpy.context.preferences.edit.use_global_undo = True
    original = generated(colours(2, 2), "original")
    original.pack()
    scene.apply_image(original, cube)
    assert scene.push_undo("before")
    target = scene.freeze_target(bpy.context, "slot")
    scene.commit(target, [result(tmp_path / "n.png", colours(4, 4), prompt="new")])
    assert base_image(bpy.data.objects["Cube"]).name == "new"
    bpy.ops.ed.undo()
    assert base_image(bpy.data.objects["Cube"]).name == "original"
    assert bpy.data.images.get("new") is None
    bpy.ops.ed.redo()
    assert base_image(bpy.data.objects["Cube"]).name == "new"


def test_target_survives_an_undo_in_between(cube: bpy.types.Object, tmp_path: Path) -> None:
    scene.apply_image(generated(colours(2, 2)), cube)
    scene.push_undo("material")
    target = scene.freeze_target(bpy.context, "material")
    bpy.data.objects["Cube"].location.x = 3
    scene.push_undo("move")
    bpy.ops.ed.undo()
    image = scene.commit(target, [result(tmp_path / "n.png", colours(4, 4))])[0]
    assert base_image(bpy.data.objects["Cube"]) == image


def test_commit_with_a_lost_file_changes_nothing(cube: bpy.types.Object, tmp_path: Path) -> None:
    good, lost = result(tmp_path / "a.png", colours(4, 4)), result(tmp_path / "b.png", colours(4, 4))
    (tmp_path / "b.png").unlink()
    with pytest.raises(SourceUnusable, match="b.png"):
        scene.commit(scene.freeze_target(bpy.context, "material"), [good, lost])
    assert cube.active_material is None and not [image for image in bpy.data.images if image.type != "RENDER_RESULT"]
