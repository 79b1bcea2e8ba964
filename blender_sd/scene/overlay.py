"""Pictures drawn over 3D Views: one over a whole view, and one on the faces of objects. Nothing of the file is touched by it, so
nothing can be saved, undone or left behind.

Draw handlers write into a framebuffer that encodes sRGB, on every supported version (seen in screenshots of 4.2 and 5.2), so our
shaders give linear light. They are there only while there is something to draw. Main thread only.
"""
from __future__ import annotations

from collections.abc import Sequence

import bpy
import gpu
import numpy as np
from mathutils import Matrix, Vector

from . import images
from .surfaces import Surface

_DECODE = """
vec3 decoded(vec3 c) { return mix(c / 12.92, pow((c + 0.055) / 1.055, vec3(2.4)), step(vec3(0.04045), c)); }
"""
_OVER = ("void main() { at = uv; gl_Position = vec4(mix(place.xy, place.zw, uv) * 2.0 - 1.0, 0.0, 1.0); }",
         _DECODE + "void main() { colour = vec4(decoded(texture(image, at).rgb), share); }")
_ON = ("void main() { at = uv; light = 0.45 + 0.55 * abs(dot(normal, eye)); gl_Position = matrix * vec4(pos, 1.0);"
       " gl_Position.z -= 0.0001 * gl_Position.w; }",  # a little nearer than the faces themselves
       _DECODE + "void main() { colour = vec4(decoded(texture(image, fract(at)).rgb) * light, share); }")
_SHRUNK = (_OVER[0], """
vec3 encoded(vec3 c) { return mix(c * 12.92, 1.055 * pow(max(c, 0.0), vec3(1.0 / 2.4)) - 0.055, step(vec3(0.0031308), c)); }
void main() {
  vec3 sum = vec3(0.0);
  for (int x = 0; x < 4; x++) for (int y = 0; y < 4; y++) sum += texture(image, at + (vec2(x, y) - 1.5) * apart).rgb;
  sum /= 16.0;
  colour = vec4(share > 0.5 ? encoded(sum) : sum, 1.0);
}
""")
_SOURCES = {"over": _OVER, "on": _ON, "shrunk": _SHRUNK}

LIVE, JOB = "live", "job"  # who shows something
_CORNER, _EDGE = 0.4, 16.0  # share of the region that a picture in its corner may take, and pixels to its edge

_shaders: dict[str, gpu.types.GPUShader] = {}
_handlers: list[tuple[object, str]] = []
_over: _Over | None = None
_on: dict[str, _On] = {}  # by who shows it


class _Picture:
    """Pixels (H×W×3|4 uint8 sRGB, row 0 on top), and their texture once they were drawn."""

    def __init__(self, pixels: np.ndarray) -> None:
        self._pixels: np.ndarray | None = pixels
        self._texture: gpu.types.GPUTexture | None = None

    def texture(self) -> gpu.types.GPUTexture:
        if self._texture is None:
            height, width = self._pixels.shape[:2]
            values = np.ones((height, width, 4), np.float32)
            np.multiply(self._pixels[::-1, :, :3], np.float32(1 / 255), out=values[..., :3])
            data = gpu.types.Buffer("FLOAT", values.size, values.ravel())
            self._texture = gpu.types.GPUTexture((width, height), format="RGBA8", data=data)
            self._pixels = None
        return self._texture


class _Over:
    def __init__(self, space: int, picture: _Picture, share: float, aspect: float) -> None:
        self.space, self.picture, self.share, self.aspect = space, picture, share, aspect

    def place(self, region: bpy.types.Region) -> tuple[float, float, float, float]:
        """(left, bottom, right, top) in shares of the region's sides; the lower left corner where there is an `aspect`."""
        if not self.aspect:
            return 0.0, 0.0, 1.0, 1.0
        high = _CORNER * min(region.height, region.width / self.aspect)
        left, bottom = _EDGE / region.width, _EDGE / region.height
        return left, bottom, left + high * self.aspect / region.width, bottom + high / region.height


class _On:
    def __init__(self, surfaces: Sequence[Surface], picture: _Picture, share: float, space: int) -> None:
        self.surfaces, self.picture, self.share, self.space = surfaces, picture, share, space
        self.batches: dict[int, gpu.types.GPUBatch] = {}


def show_over(space: int, pixels: np.ndarray, share: float, corner: bool = False) -> None:
    """Draws `pixels` (H×W×3|4 uint8 sRGB, row 0 on top) over the whole 3D View whose space has the pointer `space`, or in a `corner`
    of it; `share` of 1 covers what is below, 0 shows nothing."""
    global _over
    _over = _Over(space, _Picture(pixels), share, pixels.shape[1] / pixels.shape[0] if corner else 0.0)
    _on.pop(LIVE, None)
    _settle(space)


def show_on(who: str, surfaces: Sequence[Surface], pixels: np.ndarray, share: float = 1.0, space: int = 0) -> None:
    """Draws `pixels`, as `show_over` takes them, on `surfaces`, in all 3D Views or the one of `space`. Takes the place of what
    `who` showed."""
    global _over
    shown = _On(surfaces, _Picture(pixels), share, space)
    former = _on.get(who)
    if former is not None and former.surfaces is surfaces:
        shown.batches = former.batches
    _on[who] = shown
    if who == LIVE:
        _over = None
    _settle(space)


def set_surfaces(who: str, surfaces: Sequence[Surface]) -> None:
    """The picture that `who` shows, if one, now lies on these surfaces, whose shape or place is another."""
    shown = _on.get(who)
    if shown is not None and shown.surfaces is not surfaces:
        shown.surfaces = surfaces
        shown.batches.clear()
        _settle(shown.space)


def set_share(share: float) -> None:
    """How much of live mode's picture covers what is below it, 0 to 1; drawn anew where that is another than before."""
    for shown in (_over, _on.get(LIVE)):
        if shown is not None and shown.share != share:
            shown.share = share
            images.redraw("VIEW_3D")


def hide(who: str) -> None:
    """Takes away what `who` shows on surfaces, and with `LIVE` the picture over a view, too."""
    global _over
    if who not in _on and (who != LIVE or _over is None):
        return
    if who == LIVE:
        _over = None
    _on.pop(who, None)
    _settle()


def draw_shrunk(texture: gpu.types.GPUTexture, apart: tuple[float, float], colours: bool) -> None:
    """Fills the framebuffer that is bound with `texture`, averaging 4 × 4 samples that lie `apart` (shares of its sides) for each
    pixel. `colours`: the texture gives linear light, which is encoded as sRGB."""
    shader = _shader("shrunk")
    batch = _whole(shader)
    shader.uniform_float("place", (0.0, 0.0, 1.0, 1.0))
    shader.uniform_sampler("image", texture)
    shader.uniform_float("apart", apart)
    shader.uniform_float("share", float(colours))
    batch.draw(shader)


def clear() -> None:
    """Takes everything away: for unregistering."""
    global _over
    _over = None
    _on.clear()
    _settle()
    _shaders.clear()


# ---- inside --------------------------------------------------------------------------------------------------------


def _settle(space: int = 0) -> None:
    """Handlers are there exactly while there is something to draw. Has the 3D View of `space` drawn anew, or all of them."""
    wanted = _over is not None or bool(_on)
    if not bpy.app.background:
        if wanted and not _handlers:
            for draw, when in ((_draw_on, "POST_VIEW"), (_draw_over, "POST_PIXEL")):
                _handlers.append((bpy.types.SpaceView3D.draw_handler_add(draw, (), "WINDOW", when), when))
        if not wanted:
            for handler, _ in _handlers:
                bpy.types.SpaceView3D.draw_handler_remove(handler, "WINDOW")
            _handlers.clear()
    for area in images.areas("VIEW_3D"):
        if space in (0, area.spaces.active.as_pointer()):
            area.tag_redraw()


def _draw_over() -> None:
    if _over is None or _over.share <= 0 or bpy.context.space_data.as_pointer() != _over.space:
        return
    shader = _shader("over")
    batch = _whole(shader)
    gpu.state.blend_set("ALPHA")
    try:
        shader.uniform_float("place", _over.place(bpy.context.region))
        shader.uniform_sampler("image", _over.picture.texture())
        shader.uniform_float("share", _over.share)
        batch.draw(shader)
    finally:
        gpu.state.blend_set("NONE")


def _draw_on() -> None:
    space = bpy.context.space_data
    if not _on:
        return
    seen = gpu.matrix.get_projection_matrix() @ gpu.matrix.get_model_view_matrix()
    ahead = space.region_3d.view_rotation @ Vector((0.0, 0.0, 1.0))
    gpu.state.depth_test_set("LESS_EQUAL")
    gpu.state.blend_set("ALPHA")
    try:
        for shown in _on.values():
            if shown.share > 0 and shown.space in (0, space.as_pointer()):
                _draw_surfaces(shown, seen, ahead, space)
    finally:
        gpu.state.blend_set("NONE")
        gpu.state.depth_test_set("NONE")


def _draw_surfaces(shown: _On, seen: Matrix, ahead: Vector, space: bpy.types.SpaceView3D) -> None:
    shader = _shader("on")
    for number, surface in enumerate(shown.surfaces):
        obj = surface.find()
        if obj is None or obj.mode in ("EDIT", "SCULPT") or not obj.visible_get(viewport=space):  # whose shape is another every moment
            continue
        batch = shown.batches.get(number)
        if batch is None:
            batch = shown.batches[number] = _batch(shader, "TRIS", pos=surface.corners, uv=surface.uvs, normal=surface.normals)
        eye = obj.matrix_world.to_3x3().transposed() @ ahead  # the view's direction in the object's own space
        shader.uniform_float("matrix", seen @ obj.matrix_world)
        shader.uniform_float("eye", eye.normalized())
        shader.uniform_float("share", shown.share)
        shader.uniform_sampler("image", shown.picture.texture())
        batch.draw(shader)


def _batch(shader: gpu.types.GPUShader, kind: str, **attributes: np.ndarray) -> gpu.types.GPUBatch:
    layout = gpu.types.GPUVertFormat()
    for name, values in attributes.items():
        layout.attr_add(id=name, comp_type="F32", len=values.shape[1], fetch_mode="FLOAT")
    buffer = gpu.types.GPUVertBuf(layout, len(next(iter(attributes.values()))))
    for name, values in attributes.items():
        buffer.attr_fill(name, np.ascontiguousarray(values, np.float32))
    shader.bind()
    return gpu.types.GPUBatch(type=kind, buf=buffer)


def _whole(shader: gpu.types.GPUShader) -> gpu.types.GPUBatch:
    """A rectangle whose place the shader finds."""
    return _batch(shader, "TRI_STRIP", uv=np.array([(0, 0), (1, 0), (0, 1), (1, 1)], np.float32))


def _shader(name: str) -> gpu.types.GPUShader:
    """One of `_SOURCES`, made when it is first drawn with."""
    if name not in _shaders:
        info, between = gpu.types.GPUShaderCreateInfo(), gpu.types.GPUStageInterfaceInfo(f"sd_{name}")
        between.smooth("VEC2", "at")
        info.push_constant("FLOAT", "share")
        info.sampler(0, "FLOAT_2D", "image")
        info.vertex_in(0, "VEC2", "uv")
        if name != "on":
            info.push_constant("VEC4", "place")
        else:
            info.vertex_in(1, "VEC3", "pos")
            between.smooth("FLOAT", "light")
            info.push_constant("MAT4", "matrix")
            info.push_constant("VEC3", "eye")
            info.vertex_in(2, "VEC3", "normal")
        if name == "shrunk":
            info.push_constant("VEC2", "apart")
        info.vertex_out(between)
        info.fragment_out(0, "VEC4", "colour")
        vertex, fragment = _SOURCES[name]
        info.vertex_source(vertex)
        info.fragment_source(fragment)
        _shaders[name] = gpu.shader.create_from_info(info)
    return _shaders[name]
