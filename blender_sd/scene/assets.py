"""Material assets: save a picture as a material that repeats, in a .blend file of its own in an asset library."""
from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import bpy
import numpy as np

from ..core.errors import AssetUnusable, SDError
from ..core.request import Request
from ..library.files import make_folders, replace, temporary
from ..library.image_origin import Facts
from ..protocol.messages import Result
from . import compat, images, marks
from .material_maps import build, load_maps
from .materials import base_color_node

PREVIEW = 256  # pixels; the size of Blender's own previews
_UV = "UV"


@dataclass(frozen=True)
class About:
    """What an asset's metadata says.

    Attributes:
        name: The asset's name.
        description: A line for people.
        tags: Words to find it by.
        licence: The model's licence.
        catalog: The id of its catalog, "" for none.
    """

    name: str
    description: str = ""
    tags: tuple[str, ...] = ()
    licence: str = ""
    catalog: str = ""


def new_material(image: bpy.types.Image, name: str) -> bpy.types.Material:
    """Return a new material with `image` as its base color. It has no user yet.

    Its nodes are texture coordinate, mapping, image, Principled BSDF and output.
    """
    material = bpy.data.materials.new(name)
    tree = compat.node_tree_of(material)
    tree.nodes.clear()
    nodes = [tree.nodes.new(f"ShaderNode{kind}")
             for kind in ("TexCoord", "Mapping", "TexImage", "BsdfPrincipled", "OutputMaterial")]
    for node, x in zip(nodes, (-900.0, -700.0, -480.0, -160.0, 160.0), strict=True):
        node.location = x, 0.0
    coordinate, mapping, texture, shader, output = nodes
    texture.image, texture.extension = image, "REPEAT"
    for start, end in ((coordinate.outputs[_UV], mapping.inputs["Vector"]),
                       (mapping.outputs["Vector"], texture.inputs["Vector"]),
                       (texture.outputs["Color"], shader.inputs["Base Color"]),
                       (shader.outputs["BSDF"], output.inputs["Surface"])):
        tree.links.new(start, end)
    shader.inputs["Roughness"].default_value = 0.7  # a picture says nothing about gloss; few surfaces look like plastic
    tree.nodes.active = texture
    return material


def write_image(image: bpy.types.Image, path: str, about: About) -> None:
    """Write a new material with `image` (see `new_material`) as an asset into the .blend file `path`, in one step.

    The open file stays as it is, except that a painted image is packed.

    Raises:
        AssetUnusable: The file cannot be written, or the image cannot be packed.
    """
    material = new_material(image, about.name)
    try:
        _write(material, path, about)
    finally:
        bpy.data.materials.remove(material)


def write_material(material: bpy.types.Material, path: str, about: About) -> None:
    """Write a copy of `material`, with everything that it uses, as an asset into the .blend file `path`, in one step.

    The original stays as it is, its name included.

    Raises:
        AssetUnusable: The material is linked, the file cannot be written, or an image cannot be packed.
    """
    if material.library is not None:
        raise AssetUnusable(f"The material '{material.name}' is linked from another file.",
                            "Save it as an asset in that file.")
    copy = material.copy()
    try:
        _write(copy, path, about)
    finally:
        bpy.data.materials.remove(copy)


def write_result(result: Result, path: str, about: About) -> None:
    """Write a finished picture as an asset, as `write_image` does. Nothing of it stays in the open file. Raises
    SDError.
    """
    image = images.load_result(result, about.name)
    try:
        write_image(image, path, about)
    finally:
        bpy.data.images.remove(image)


def write_maps(results: Sequence[Result], path: str, about: About) -> None:
    """Write the maps of a job as a material asset, as `write_material` does. Nothing of them stays in the open file.
    Raises SDError.
    """
    loaded, depth = load_maps(results, about.name)
    material = build(loaded, about.name, depth)
    try:
        _write(material, path, about)
    finally:
        bpy.data.materials.remove(material)
        bpy.data.batch_remove(list(loaded.values()))


def image_of(material: bpy.types.Material) -> bpy.types.Image | None:
    """Return the picture in the material's base color, or None."""
    node = base_color_node(material) if material.node_tree is not None else None
    return node.image if node is not None else None


def image_facts(image: bpy.types.Image | None) -> tuple[str, Facts]:
    """Return (description, facts) of a generated picture; both are empty if nothing is known about it."""
    if image is None:
        return "", Facts()
    known = marks.facts_of(image)
    if known.request is None:
        try:
            known = dataclasses.replace(known, request=images.request_of(image))
        except SDError:
            return "", known
    return facts(known.request), known


def facts(request: Request) -> str:
    """Return how a picture was made, in a line for people."""
    model = os.path.basename(request.model.rstrip("/\\"))
    style = f", style {request.style}" if request.style else ""
    repeats = f", repeats along {request.tiling}" if request.tiling != "none" else ""
    return f"{request.prompt} (Stable Diffusion, model {model}, seed {request.seed}{style}{repeats})"


def _write(material: bpy.types.Material, path: str, about: About) -> None:
    for image in _images(material.node_tree):
        _pack(image)
    marks.refresh_one(material)
    material.asset_mark()
    data = material.asset_data
    data.description, data.license, data.author = about.description[:1000], about.licence, ""
    if about.catalog:
        data.catalog_id = about.catalog
    for tag in dict.fromkeys(about.tags):
        data.tags.new(tag, skip_if_exists=True)
    if (image := image_of(material)) is not None:
        _set_preview(material, image)
    fresh = temporary(path)  # asset libraries do not look at files with this ending
    try:
        make_folders(os.path.dirname(path))
        with _called(material, about.name):
            bpy.data.libraries.write(fresh, {material}, fake_user=True, compress=True)
        replace(fresh, path)
    except (OSError, RuntimeError) as error:
        with suppress(OSError):
            os.remove(fresh)
        raise AssetUnusable(f"The asset cannot be written to {path}.",
                            "Look whether the folder can be written to and has room.",
                            repr(error)) from None


@contextmanager
def _called(material: bpy.types.Material, name: str) -> Iterator[None]:
    """Return a context in which `material` has exactly that name; another material of that name is renamed meanwhile.
    """
    other = next((other for other in bpy.data.materials
                  if other.name == name and other.library is None and other != material), None)
    if other is not None:
        other.name = "SD Aside"
    material.name = name
    try:
        yield
    finally:
        material.name = "SD Saved"
        if other is not None:
            other.name = name


def _images(tree: bpy.types.NodeTree | None, depth: int = 4) -> Iterable[bpy.types.Image]:
    for node in tree.nodes if tree is not None else ():
        if getattr(node, "image", None) is not None:
            yield node.image
        elif depth and node.type == "GROUP":
            yield from _images(node.node_tree, depth - 1)


def _pack(image: bpy.types.Image) -> None:
    """Pack an image: libraries are copied from place to place, and paths into the person's folders would break."""
    if (image.packed_file is not None and not image.is_dirty or image.source not in ("FILE", "GENERATED")
            or image.library is not None):
        return
    try:
        image.pack()
    except RuntimeError as error:
        raise AssetUnusable(f"The image '{image.name}' cannot be put into the asset.",
                            "Find its file (File ▸ External Data).",
                            str(error)) from None


def _set_preview(material: bpy.types.Material, image: bpy.types.Image) -> None:
    """Use the picture itself as the asset's preview: it shows more than a lit ball and needs no render."""
    width, height = image.size
    if not width or not height:
        return
    pixels = np.empty(width * height * image.channels, np.float32)
    image.pixels.foreach_get(pixels)
    side = min(width, height)
    rows, columns = (np.linspace(start, start + side - 1, PREVIEW).round().astype(int)
                     for start in ((height - side) // 2, (width - side) // 2))
    seen = pixels.reshape(height, width, image.channels)[np.ix_(rows, columns)]
    small = np.ones((PREVIEW, PREVIEW, 4), np.float32)
    if image.channels < 3:
        small[..., :3] = seen[..., :1]
    else:
        small[..., : image.channels] = seen
    preview = material.preview_ensure()
    preview.image_size = PREVIEW, PREVIEW
    preview.image_pixels_float.foreach_set(small.ravel())
