"""Tools of our draw handlers: pictures as textures, and a few shaders.

Draw handlers write into a framebuffer that encodes sRGB, on every supported version (seen in screenshots of 4.2 and
5.2), so our shaders output linear light. Main thread only.
"""
from __future__ import annotations

import gpu
import numpy as np

_DECODE = """
vec3 decoded(vec3 c) { return mix(c / 12.92, pow((c + 0.055) / 1.055, vec3(2.4)), step(vec3(0.04045), c)); }
"""
_OVER = ("void main() { at = uv; gl_Position = vec4(mix(place.xy, place.zw, uv) * 2.0 - 1.0, 0.0, 1.0); }",
         _DECODE + "void main() { colour = vec4(decoded(texture(image, at).rgb), share); }")
_ON = ("void main() { at = uv; light = 0.45 + 0.55 * abs(dot(normal, eye)); gl_Position = matrix * vec4(pos, 1.0); "
       "gl_Position.z -= 0.0001 * gl_Position.w; }",  # a little nearer than the faces themselves
       _DECODE + "void main() { colour = vec4(decoded(texture(image, fract(at)).rgb) * light, share); }")
_SHRUNK = (_OVER[0], """
vec3 encoded(vec3 c) {
  return mix(c * 12.92, 1.055 * pow(max(c, 0.0), vec3(1.0 / 2.4)) - 0.055, step(vec3(0.0031308), c));
}
void main() {
  vec3 sum = vec3(0.0);
  for (int x = 0; x < 4; x++) for (int y = 0; y < 4; y++) sum += texture(image, at + (vec2(x, y) - 1.5) * apart).rgb;
  sum /= 16.0;
  colour = vec4(share > 0.5 ? encoded(sum) : sum, 1.0);
}
""")
_SOURCES = {"over": _OVER, "on": _ON, "shrunk": _SHRUNK}

_shaders: dict[str, gpu.types.GPUShader] = {}


class Picture:
    """Pixels (H×W×3|4 uint8 sRGB, row 0 on top), and their texture once they have been drawn."""

    def __init__(self, pixels: np.ndarray) -> None:
        self._pixels: np.ndarray | None = pixels
        self._texture: gpu.types.GPUTexture | None = None

    def texture(self) -> gpu.types.GPUTexture:
        """Return the texture, made on the first call."""
        if self._texture is None:
            height, width = self._pixels.shape[:2]
            values = np.ones((height, width, 4), np.float32)
            np.multiply(self._pixels[::-1, :, :3], np.float32(1 / 255), out=values[..., :3])
            data = gpu.types.Buffer("FLOAT", values.size, values.ravel())
            self._texture = gpu.types.GPUTexture((width, height), format="RGBA8", data=data)
            self._pixels = None
        return self._texture


def draw_over(picture: Picture, place: tuple[float, float, float, float], share: float = 1.0) -> None:
    """Draw a picture into the bound framebuffer.

    Args:
        picture: The picture.
        place: (left, bottom, right, top) in shares of the framebuffer's sides.
        share: Opacity, 0 to 1.
    """
    over = shader("over")
    batch = whole(over)
    gpu.state.blend_set("ALPHA")
    try:
        over.uniform_float("place", place)
        over.uniform_sampler("image", picture.texture())
        over.uniform_float("share", share)
        batch.draw(over)
    finally:
        gpu.state.blend_set("NONE")


def batch_of(shader: gpu.types.GPUShader, kind: str, **attributes: np.ndarray) -> gpu.types.GPUBatch:
    """Return a batch of primitives for `shader`, with N×K float arrays as attributes. Binds the shader."""
    layout = gpu.types.GPUVertFormat()
    for name, values in attributes.items():
        layout.attr_add(id=name, comp_type="F32", len=values.shape[1], fetch_mode="FLOAT")
    buffer = gpu.types.GPUVertBuf(layout, len(next(iter(attributes.values()))))
    for name, values in attributes.items():
        buffer.attr_fill(name, np.ascontiguousarray(values, np.float32))
    shader.bind()
    return gpu.types.GPUBatch(type=kind, buf=buffer)


def whole(shader: gpu.types.GPUShader) -> gpu.types.GPUBatch:
    """Return a rectangle that the shader places."""
    return batch_of(shader, "TRI_STRIP", uv=np.array([(0, 0), (1, 0), (0, 1), (1, 1)], np.float32))


def shader(name: str) -> gpu.types.GPUShader:
    """Return one of `_SOURCES`, compiled on first use."""
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


def clear() -> None:
    """Forget the shaders, for unregistering."""
    _shaders.clear()
