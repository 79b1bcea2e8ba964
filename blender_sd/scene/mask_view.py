"""What is seen while a mask is painted: the picture, tinted where the mask is white.

It is drawn in Image Editors over the mask's black and white, and in 3D Views on the object's faces, from Blender's own
textures: every stroke is seen at once, and nothing in the file is touched. Draw handlers output linear light, as in
`drawing`. Main thread only.
"""
from __future__ import annotations

import logging

import bpy
import gpu
from gpu_extras.batch import batch_for_shader
from mathutils import Vector

from . import screens, surfaces
from .targets import Identity, identity, lookup

log = logging.getLogger("blender_sd")

TINT, COVER = (1.0, 0.0, 0.35), 0.6  # a colour that is rare in textures, in linear light; its opacity
_COMMON = """
vec4 seen(vec2 at, float light) {
  float marked = pow(max(texture(mask, at).r, 0.0), 1.0 / 2.2) * tint.a;  // as painted: the texture holds linear light
  vec4 picture = texture(image, at);  // with premultiplied alpha
  vec3 below = (picture.rgb + (1.0 - picture.a) * 0.05) * light;  // on dark grey
  return whole > 0.5 ? vec4(mix(below, tint.rgb, marked), 1.0) : vec4(tint.rgb, marked);
}
"""
_FLAT = ("void main() { at = uv; gl_Position = ModelViewProjectionMatrix * vec4(pos, 0.0, 1.0); }",
         _COMMON + "void main() { colour = seen(at, 1.0); }")
_FACES = ("void main() { at = uv; light = 0.45 + 0.55 * abs(dot(normal, eye)); gl_Position = ModelViewProjectionMatrix "
          "* vec4(pos, 1.0); gl_Position.z -= 0.0001 * gl_Position.w; }",  # a little nearer than the faces themselves
          _COMMON + "void main() { colour = seen(fract(at), light); }")

_image: Identity | None = None
_mask: Identity | None = None
_object: Identity | None = None
_batch: gpu.types.GPUBatch | None = None
_shaders: dict[str, gpu.types.GPUShader] = {}
_handlers: list[tuple[type, object]] = []


def show(image: bpy.types.Image, mask: bpy.types.Image, obj: bpy.types.Object | None) -> None:
    """Start drawing `image` with the tint of `mask`.

    Args:
        image: The picture.
        mask: Its mask; the tint is drawn in all Image Editors that show it.
        obj: The object on whose faces it is drawn while it is in Texture Paint, or None.
    """
    global _image, _mask, _object
    wanted = identity(image), identity(mask), identity(obj) if obj is not None else None
    if wanted == (_image, _mask, _object):
        return
    renew()
    _image, _mask, _object = wanted
    if not _handlers and not bpy.app.background:
        for space, draw, when in ((bpy.types.SpaceImageEditor, _draw_flat, "POST_PIXEL"),
                                  (bpy.types.SpaceView3D, _draw_faces, "POST_VIEW")):
            _handlers.append((space, space.draw_handler_add(draw, (), "WINDOW", when)))
    screens.redraw("VIEW_3D", "IMAGE_EDITOR")


def renew() -> None:
    """Read the object's shape again at the next drawing, because it may have changed."""
    global _batch
    _batch = None


def hide() -> None:
    """Stop drawing."""
    global _image, _mask, _object
    renew()
    _image = _mask = _object = None
    for space, handler in _handlers:
        space.draw_handler_remove(handler, "WINDOW")
    _handlers.clear()
    screens.redraw("VIEW_3D", "IMAGE_EDITOR")


def _draw_flat() -> None:
    space, view = bpy.context.space_data, bpy.context.region.view2d
    image, mask = _both()
    if mask is None or space.image != mask:
        return
    left, bottom = view.view_to_region(0, 0, clip=False)
    right, top = view.view_to_region(1, 1, clip=False)
    shader = _shader("flat")
    batch = batch_for_shader(shader, "TRI_FAN", {"pos": ((left, bottom), (right, bottom), (right, top), (left, top)),
                                                 "uv": ((0, 0), (1, 0), (1, 1), (0, 1))})
    _draw(shader, batch, image, mask, whole=True)


def _draw_faces() -> None:
    """Draw the picture over the faces in Solid view, which shows the mask itself; elsewhere the tint is enough."""
    global _batch
    space = bpy.context.space_data
    image, mask = _both()
    obj = lookup(_object) if _object is not None else None
    if mask is None or obj is None or obj.mode != "TEXTURE_PAINT" or not obj.visible_get(viewport=space):
        return
    shader = _shader("faces")
    if _batch is None:
        surface = surfaces.painted_surface(obj, bpy.context)
        if surface is None:
            return
        _batch = batch_for_shader(shader, "TRIS",
                                  {"pos": surface.corners, "uv": surface.uvs, "normal": surface.normals})
    ahead = space.region_3d.view_rotation @ Vector((0.0, 0.0, 1.0))
    # The view's direction in the object's own space
    eye = (obj.matrix_world.to_3x3().transposed() @ ahead).normalized()
    gpu.state.depth_test_set("LESS_EQUAL")
    with gpu.matrix.push_pop():
        gpu.matrix.multiply_matrix(obj.matrix_world)
        _draw(shader, _batch, image, mask, whole=space.shading.type not in ("MATERIAL", "RENDERED"), eye=eye)
    gpu.state.depth_test_set("NONE")


def _both() -> tuple[bpy.types.Image | None, bpy.types.Image | None]:
    """Return the picture and its mask; (None, None) if one of them is gone."""
    image, mask = (lookup(known) if known is not None else None for known in (_image, _mask))
    return (image, mask) if image is not None and mask is not None else (None, None)


def _draw(shader: gpu.types.GPUShader, batch: gpu.types.GPUBatch, image: bpy.types.Image, mask: bpy.types.Image,
          whole: bool,
          eye: Vector | None = None) -> None:
    shader.bind()
    shader.uniform_float("tint", (*TINT, COVER))
    shader.uniform_float("whole", float(whole))
    shader.uniform_sampler("image", gpu.texture.from_image(image))
    shader.uniform_sampler("mask", gpu.texture.from_image(mask))
    if eye is not None:
        shader.uniform_float("eye", eye)
    gpu.state.blend_set("ALPHA")
    batch.draw(shader)
    gpu.state.blend_set("NONE")


def _shader(name: str) -> gpu.types.GPUShader:
    if name not in _shaders:
        faces = name == "faces"
        info, between = gpu.types.GPUShaderCreateInfo(), gpu.types.GPUStageInterfaceInfo(f"sd_mask_{name}")
        between.smooth("VEC2", "at")
        info.push_constant("MAT4", "ModelViewProjectionMatrix")
        info.push_constant("VEC4", "tint")
        info.push_constant("FLOAT", "whole")
        info.sampler(0, "FLOAT_2D", "image")
        info.sampler(1, "FLOAT_2D", "mask")
        info.vertex_in(0, "VEC3" if faces else "VEC2", "pos")
        info.vertex_in(1, "VEC2", "uv")
        if faces:
            between.smooth("FLOAT", "light")
            info.push_constant("VEC3", "eye")
            info.vertex_in(2, "VEC3", "normal")
        info.vertex_out(between)
        info.fragment_out(0, "VEC4", "colour")
        vertex, fragment = _FACES if faces else _FLAT
        info.vertex_source(vertex)
        info.fragment_source(fragment)
        _shaders[name] = gpu.shader.create_from_info(info)
    return _shaders[name]
