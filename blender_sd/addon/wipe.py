"""Draw the wipe: the second of two compared pictures over the first, right of a line that the mouse can drag.

A draw handler paints and a gizmo is the line: no modal operator waits for events, so autosave and the rest go on.
"""
from __future__ import annotations

import logging

import bpy
import gpu
from gpu_extras.batch import batch_for_shader

from .. import scene
from . import history

log = logging.getLogger("blender_sd")

_GRIP = 9  # pixels on each side of the line in which the mouse takes hold of it, at a scale of 1
_handler: object | None = None
_shader: gpu.types.GPUShader | None = None


def rectangle(context: bpy.types.Context) -> tuple[float, float, float, float]:
    """Return where the Image Editor shows its image: left, bottom, right, top in pixels of the region."""
    view = context.region.view2d
    left, bottom = view.view_to_region(0, 0, clip=False)
    right, top = view.view_to_region(1, 1, clip=False)
    return left, bottom, right, top


def wiping(context: bpy.types.Context) -> bpy.types.Image | None:
    """Return the picture to draw over the one in the Image Editor; None if there is none."""
    comparison = history.shown().comparison
    space = context.space_data
    if comparison is None or not history.state(
    ).wipe or space is None or space.type != "IMAGE_EDITOR" or space.image is None:
        return None
    a, b = scene.sides(comparison)
    return b if a is not None and space.image == a else None


def _draw() -> None:
    try:
        _paint(bpy.context)
    except Exception:  # any error would recur with every redraw
        log.exception("the wipe cannot be drawn")
        history.state().wipe = False


def _paint(context: bpy.types.Context) -> None:
    image = wiping(context)
    if image is None:
        return
    left, bottom, right, top = rectangle(context)
    at = history.state().wipe_at
    line = left + (right - left) * at
    shader = _picture_shader()
    batch = batch_for_shader(shader, "TRI_FAN", {
        "pos": ((line, bottom), (right, bottom), (right, top), (line, top)), "uv": ((at, 0), (1, 0), (1, 1), (at, 1))})
    gpu.state.blend_set("ALPHA_PREMULT")
    shader.bind()
    shader.uniform_sampler("picture", gpu.texture.from_image(image))
    batch.draw(shader)
    gpu.state.blend_set("NONE")


def _picture_shader() -> gpu.types.GPUShader:
    """Return a shader that draws an image's texture as the Image Editor draws 8-bit images.

    The texture has linear values with premultiplied alpha; what a draw handler of an editor paints is encoded to sRGB.
    """
    global _shader
    if _shader is None:
        info = gpu.types.GPUShaderCreateInfo()
        between = gpu.types.GPUStageInterfaceInfo("sd_wipe")
        between.smooth("VEC2", "at")
        info.vertex_in(0, "VEC2", "pos")
        info.vertex_in(1, "VEC2", "uv")
        info.vertex_out(between)
        info.push_constant("MAT4", "ModelViewProjectionMatrix")
        info.sampler(0, "FLOAT_2D", "picture")
        info.fragment_out(0, "VEC4", "colour")
        info.vertex_source("void main() { at = uv; gl_Position = ModelViewProjectionMatrix * vec4(pos, 0.0, 1.0); }")
        info.fragment_source("void main() { colour = texture(picture, at); }")
        _shader = gpu.shader.create_from_info(info)
    return _shader


class SD_GT_wipe_line(bpy.types.Gizmo):
    """The line between the two pictures."""

    bl_idname = "SD_GT_wipe_line"

    def draw(self, context) -> None:
        if wiping(context) is None:
            return
        left, bottom, right, top = rectangle(context)
        x = left + (right - left) * history.state().wipe_at
        bottom, top = max(bottom, 0), min(top, context.region.height)
        shader = gpu.shader.from_builtin("UNIFORM_COLOR")
        shader.bind()
        for half, colour in ((2.5, (0.0, 0.0, 0.0, 0.5)), (1.0, (1.0, 1.0, 1.0, 1.0) if not self.is_highlight else
                                                           (1.0, 0.7, 0.2, 1.0))):
            half *= context.preferences.system.ui_scale
            corners = ((x - half, bottom), (x + half, bottom), (x + half, top), (x - half, top))
            gpu.state.blend_set("ALPHA")
            shader.uniform_float("color", colour)
            batch_for_shader(shader, "TRI_FAN", {"pos": corners}).draw(shader)
        gpu.state.blend_set("NONE")

    def test_select(self, context, location) -> int:
        if wiping(context) is None:
            return -1
        left, _, right, _ = rectangle(context)
        x = left + (right - left) * history.state().wipe_at
        return 0 if abs(location[0] - x) <= _GRIP * context.preferences.system.ui_scale else -1

    def invoke(self, _context, _event):
        return {"RUNNING_MODAL"}

    def modal(self, context, event, _tweak):
        left, _, right, _ = rectangle(context)
        if right > left:
            history.state().wipe_at = (event.mouse_region_x - left) / (right - left)
        return {"RUNNING_MODAL"}

    def exit(self, _context, _cancel) -> None:
        pass  # the line stays where it was dropped


class SD_GGT_wipe(bpy.types.GizmoGroup):
    """The wipe's line in the Image Editor."""

    bl_idname = "SD_GGT_wipe"
    bl_label = "Wipe"
    bl_space_type = "IMAGE_EDITOR"
    bl_region_type = "WINDOW"
    bl_options = {"PERSISTENT"}

    @classmethod
    def poll(cls, context):
        return wiping(context) is not None

    def setup(self, _context) -> None:
        self.line = self.gizmos.new(SD_GT_wipe_line.bl_idname)
        self.line.use_draw_modal = True


CLASSES = (SD_GT_wipe_line, SD_GGT_wipe)


def register() -> None:
    global _handler
    if not bpy.app.background:
        _handler = bpy.types.SpaceImageEditor.draw_handler_add(_draw, (), "WINDOW", "POST_PIXEL")


def unregister() -> None:
    global _handler, _shader
    if _handler is not None:
        bpy.types.SpaceImageEditor.draw_handler_remove(_handler, "WINDOW")
    _handler = _shader = None
