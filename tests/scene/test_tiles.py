"""A picture in one tile of a UDIM image: all other tiles stay as they were, in the file, after undo, and for
exporters."""
from __future__ import annotations

import json
from pathlib import Path

import bpy
import numpy as np
import pytest

from blender_sd import scene as room
from blender_sd.core.errors import SourceUnusable, TargetUnusable
from blender_sd.scene import compat, masks, tiles
from tests.support.pictures import colours, decoded, generated, pixels_of, raw_pixels, result, write_png

NUMBERS = (1001, 1002, 1012)
WAYS = ("external", "packed", "generated", "painted", "painted packed")


@pytest.fixture
def node(cube: bpy.types.Object) -> bpy.types.ShaderNodeTexImage:
    cube.data.materials.append(bpy.data.materials.new("M"))
    tree = compat.node_tree_of(cube.active_material)
    node = tree.nodes.new("ShaderNodeTexImage")
    tree.links.new(node.outputs[0], tree.nodes["Principled BSDF"].inputs["Base Color"])
    tree.nodes.active = node
    return node


def tile_set(folder: Path, numbers=NUMBERS, name: str = "body") -> bpy.types.Image:
    folder.mkdir(exist_ok=True)
    for place, number in enumerate(numbers):
        write_png(folder / f"{name}.{number}.png", colours(8 + 4 * place, 8, seed=number))
    image = bpy.data.images.load(str(folder / f"{name}.{numbers[0]}.png"), check_existing=False)
    image.source = "TILED"
    return image


def made(way: str, folder: Path) -> bpy.types.Image:
    if way == "generated":
        image = bpy.data.images.new("body", 8, 8, tiled=True)
        for number in NUMBERS[1:]:
            image.tiles.new(number)
    else:
        image = tile_set(folder)
    if "packed" in way:
        image.pack()
    if "painted" in way:
        image.pixels.foreach_set(np.tile(np.float32([1, 0.2, 0, 1]), 64))
        image.update()
    return image


def pick(image: bpy.types.Image, number: int) -> None:
    image.tiles.active_index = [tile.number for tile in image.tiles].index(number)


def contents(image: bpy.types.Image) -> dict[int, np.ndarray]:
    """The pixels of every tile that has some, read from what is packed or from the files."""
    shown = {}
    for tile in image.tiles:
        part = next((part for part in image.packed_files if part.tile_number == tile.number), None)
        path = Path(bpy.path.abspath(image.filepath_raw).replace("<UDIM>", str(tile.number)))
        if part is not None or not image.packed_files and path.is_file():
            shown[tile.number] = decoded(part.packed_file.data if part is not None else path.read_bytes())
    return shown


def assert_tiles(image: bpy.types.Image, wanted: dict[int, np.ndarray]) -> None:
    now = contents(image)
    assert image.source == "TILED" and sorted(now) == sorted(wanted)
    assert all(np.array_equal(now[number], wanted[number]) for number in wanted)
    sizes = {tile.number: tuple(tile.size) for tile in image.tiles if tile.number in wanted}
    assert sizes == {number: picture.shape[1::-1] for number, picture in wanted.items()}


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("way", WAYS)
def test_the_active_tile_gets_the_picture_and_the_others_stay(node, tmp_path: Path, way: str, number: int) -> None:
    node.image = former = made(way, tmp_path / "textures")
    pick(former, number)
    target = room.freeze_target(bpy.context, "slot")
    pick(former, 1001 if number != 1001 else 1002)  # what counts is what was active at the click
    fresh = colours(16, 16, seed=3)
    shown, = room.commit(target, [result(tmp_path / "a.png", fresh, prompt="rusty iron", seed=7)])
    wanted = {**contents(former), number: fresh}
    assert sorted(wanted) == sorted(NUMBERS)
    for tile in {1002, 1012} - {number}:
        blank = np.tile(np.uint8([0, 0, 0, 255]), (8, 8, 1))
        assert np.array_equal(wanted[tile],
                              blank if way == "generated" else colours(8 + 4 * NUMBERS.index(tile), 8, seed=tile))
    if "painted" in way:
        assert (raw_pixels(former)[0, 0] == (255, 51, 0, 255)).all() and not former.is_dirty
    assert node.image == shown != former and shown.name == "rusty iron" and tiles.active(shown) == number
    assert [tile.number for tile in shown.tiles] == [tile.number for tile in former.tiles]
    assert room.request_of(shown).prompt == "rusty iron" and former.use_fake_user
    assert not [image for image in bpy.data.images if image.name.startswith("rusty iron") and image != shown]
    assert_tiles(shown, wanted)
    before = contents(former)
    path = str(tmp_path / "a.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    assert_tiles(bpy.data.images["rusty iron"], wanted)
    assert_tiles(bpy.data.images[former_name(way)], before)


def former_name(way: str) -> str:
    return "body" if way == "generated" else "body.1001.png"


@pytest.mark.parametrize("way", ["external", "packed"])
def test_undo_redo_and_a_second_tile(node, tmp_path: Path, way: str) -> None:
    node.image = former = made(way, tmp_path / "textures")
    old, kept = contents(former), contents(former)
    bpy.ops.ed.undo_push(message="start")
    for number, name in ((1002, "moss"), (1012, "clay")):
        pick(shown_now(), number)
        old[number] = colours(16, 8, seed=number + 1)
        room.commit(room.freeze_target(bpy.context, "slot"),
                    [result(tmp_path / f"{name}.png", old[number], prompt=name)], name)
        assert_tiles(shown_now(), old)
    bpy.ops.ed.undo()
    assert shown_now().name == "moss"
    assert_tiles(shown_now(), {**old, 1012: kept[1012]})
    bpy.ops.ed.undo()
    assert shown_now().name == "body.1001.png"
    assert_tiles(shown_now(), kept)
    bpy.ops.ed.redo()
    bpy.ops.ed.redo()
    assert_tiles(shown_now(), old)


def shown_now() -> bpy.types.Image:
    return bpy.context.object.active_material.node_tree.nodes["Image Texture"].image


def test_external_tiles_stay_files_and_are_never_written_to(node, tmp_path: Path) -> None:
    node.image = former = tile_set(tmp_path / "textures")
    before = {path.name: path.read_bytes() for path in (tmp_path / "textures").iterdir()}
    out = tmp_path / "pictures"
    out.mkdir()
    fresh = colours(8, 8)
    shown, = room.commit(room.freeze_target(bpy.context, "slot"), [result(out / "a.png", fresh, prompt="moss")])
    assert not former.packed_files and not shown.packed_files
    folder = Path(shown.filepath_raw).parent
    assert folder.parent == out / "tiles" and len(list(folder.iterdir())) == 3
    assert {path.name: path.read_bytes() for path in (tmp_path / "textures").iterdir()} == before
    assert (folder / Path(shown.filepath_raw).name.replace("<UDIM>", "1002")).read_bytes() == before["body.1002.png"]
    assert (folder / Path(shown.filepath_raw).name.replace("<UDIM>", "1001")).read_bytes() == (out
                                                                                               / "a.png").read_bytes()


@pytest.mark.parametrize("way", ["apply", "canvas", "editor"])
def test_other_ways_to_a_tile(cube, node, tmp_path: Path, way: str) -> None:
    node.image = former = made("packed", tmp_path / "textures")
    pick(former, 1002)
    wanted = {**contents(former), 1002: colours(8, 8, seed=5)}
    image = bpy.data.images.load(str(write_png(tmp_path / "new.png", wanted[1002])))
    if way == "apply":
        room.apply_image(image, cube)
        shown = node.image
        assert image.name == "new.png"  # the artist's own stays
    elif way == "editor":
        shown = room.replacing.replace_everywhere(former, image)
    else:
        paint = bpy.context.scene.tool_settings.image_paint
        paint.mode, paint.canvas = "IMAGE", former
        bpy.ops.object.mode_set(mode="TEXTURE_PAINT")
        target = room.freeze_target(bpy.context, "slot")
        bpy.ops.object.mode_set(mode="OBJECT")
        assert target.kind == "canvas"
        shown, = room.commit(target, [result(tmp_path / "a.png", wanted[1002])])
        assert paint.canvas == shown
    assert_tiles(shown, wanted)


def test_data_alpha_and_labels_are_taken_over(node, tmp_path: Path) -> None:
    node.image = former = made("packed", tmp_path / "textures")
    former.alpha_mode, former.colorspace_settings.name = "CHANNEL_PACKED", "Non-Color"
    former.tiles[1].label = "arm"
    pick(former, 1002)
    old = contents(former)
    fresh = colours(12, 8, seed=5)
    fresh[..., 3] = 255
    shown, = room.commit(room.freeze_target(bpy.context, "slot"), [result(tmp_path / "a.png", fresh)])
    assert (shown.alpha_mode, shown.colorspace_settings.name, shown.tiles[1].label) == ("CHANNEL_PACKED", "Non-Color",
                                                                                        "arm")
    assert_tiles(shown, {**old, 1002: np.dstack([fresh[..., :3], old[1002][..., 3:]])})


@pytest.mark.parametrize("kind", ["JPEG", "TARGA", "OPEN_EXR"])
def test_tiles_of_other_formats(node, tmp_path: Path, kind: str) -> None:
    ending = {"JPEG": "jpg", "TARGA": "tga", "OPEN_EXR": "exr"}[kind]
    for number in NUMBERS[:2]:
        still = generated(np.full((8, 8, 4), (0.25, 0.5, 0.75, 1), np.float32), is_float=kind == "OPEN_EXR")
        still.filepath_raw, still.file_format = str(tmp_path / f"body.{number}.{ending}"), kind
        still.save()
        bpy.data.images.remove(still)
    node.image = former = bpy.data.images.load(str(tmp_path / f"body.1001.{ending}"))
    former.source = "TILED"
    pick(former, 1002)
    out = tmp_path / "out"
    out.mkdir()
    fresh = np.full((8, 8, 4), (200, 100, 50, 255), np.uint8)
    shown, = room.commit(room.freeze_target(bpy.context, "slot"), [result(out / "a.png", fresh)])
    assert shown.colorspace_settings.name == former.colorspace_settings.name and shown.filepath_raw.endswith(
        f".<UDIM>.{ending}")
    assert Path(shown.filepath_raw.replace("<UDIM>",
                                           "1001")).read_bytes() == (tmp_path / f"body.1001.{ending}").read_bytes()
    pick(shown, 1002)
    assert np.abs(pixels_of(room.source_of(shown)).astype(int) - fresh).max() <= (3 if kind == "JPEG" else 1)


def test_the_active_tile_is_the_source_and_holds_the_mask(tmp_path: Path) -> None:
    image = made("packed", tmp_path / "textures")
    wanted = contents(image)
    bpy.ops.mesh.primitive_plane_add()
    plane = bpy.context.object
    for corner in plane.data.uv_layers[0].uv:
        corner.vector = (corner.vector[0] * 0.5 + 1, corner.vector[1] * 0.5 + 1)
    plane.data.polygons[0].select = True
    for number in NUMBERS:
        pick(image, number)
        assert np.array_equal(pixels_of(room.source_of(image)), wanted[number])
        assert room.size_of(image) == wanted[number].shape[1::-1]
        drawn = masks.faces_mask(plane, (8, 8), image)().pixels[..., 0] > 0
        assert drawn.sum() == (16 if number == 1012 else 0) and drawn[4:, :4].all() == (number == 1012)
    assert len(bpy.data.images) == len([other for other in bpy.data.images if other.source != "FILE"])


def test_what_would_lose_a_tile_is_refused_and_changes_nothing(cube, node, tmp_path: Path) -> None:
    node.image = former = tile_set(tmp_path / "textures")
    assert [tuple(tile.size) for tile in former.tiles]  # read once
    (tmp_path / "textures" / "body.1002.png").unlink()
    with pytest.raises(TargetUnusable, match="tile 1002 of 'body.1001.png' cannot be read"):
        room.freeze_target(bpy.context, "slot")
    pick(former, 1002)
    room.freeze_target(bpy.context, "slot")
    with pytest.raises(SourceUnusable, match="The tile 1002 of .* has no picture"):
        room.source_of(former)
    former.colorspace_settings.name = "Filmic sRGB"
    with pytest.raises(TargetUnusable, match="read as Filmic sRGB"):
        room.apply_image(generated(colours(4, 4)), cube)
    assert node.image == former


def test_a_comparison_in_a_slot_with_tiles(node, tmp_path: Path) -> None:
    node.image = former = made("packed", tmp_path / "textures")
    pick(former, 1012)
    wanted = {**contents(former), 1012: colours(8, 8, seed=5)}
    image = room.images.load_result(result(tmp_path / "a.png", wanted[1012], prompt="moss"))
    comparison = room.comparison.compare(bpy.context, image, added=True)
    for side in "BAB":
        comparison = room.comparison.show_side(comparison, side)
        assert_tiles(node.image, wanted if side == "B" else contents(former))
    room.comparison.end_comparison(comparison, keep=False)
    assert node.image == former and not [image for image in bpy.data.images if image.name.startswith("moss")]


def test_exporters_read_the_tiles(cube, node, tmp_path: Path) -> None:
    node.image = tile_set(tmp_path / "textures", (1001, 1002))
    for corner in cube.data.uv_layers[0].uv:
        corner.vector = (corner.vector[0] + 1, corner.vector[1])
    out = tmp_path / "out"
    out.mkdir()
    pick(node.image, 1002)
    room.commit(room.freeze_target(bpy.context, "slot"),
                [result(out / "rusty_iron_7_1a2b3c.png", colours(8, 8), prompt="rusty iron")])
    path = tmp_path / "a.gltf"
    bpy.ops.export_scene.gltf(filepath=str(path), export_format="GLTF_SEPARATE")
    names = [image["uri"] for image in json.loads(path.read_text())["images"]]
    assert names and all("rusty_iron" in name for name in names)


def test_tiles_that_feed_a_colour_and_data_are_not_split(cube, node, tmp_path: Path) -> None:
    node.image = former = tile_set(tmp_path / "textures")
    shader = cube.active_material.node_tree.nodes["Principled BSDF"]
    cube.active_material.node_tree.links.new(node.outputs[0], shader.inputs["Roughness"])
    with pytest.raises(TargetUnusable, match="feeds 'Roughness' and other inputs"):
        room.apply_image(generated(colours(4, 4)), cube, "Roughness")
    assert node.image == former and shader.inputs["Roughness"].links[0].from_node == node
