"""Repaint a part of a picture, extend it beyond its borders, or make it repeat without a seam."""
from __future__ import annotations

from typing import Any, Unpack

from ..core.errors import InvalidRequest
from ..core.request import INPAINT, MAKE_SEAMLESS, OUTPAINT, default
from ..session.job import Job
from . import request_builder
from .arguments import scene_call
from .request_builder import CommonSettings, Settings
from .runtime import runtime
from .submission import open_source, resolve, submit_task


@scene_call
def inpaint(source: Any, mask: Any, prompt: str | None = None, *, strength: float = 1.0, grow: int = 0,
            feather: int = default("mask_feather"), full_res: bool = False, context: int = default("mask_context"),
            tile: int | None = None, **settings: Unpack[Settings]) -> Job:
    """Repaint the masked part of a picture; every other pixel stays as it was, bit for bit. Return its job at once.

    Args:
        source: As for `restyle`.
        mask: As `source`, or an H×W array; white is repainted. "FACES" is the UV area of the active object's
            selected faces; "ALPHA" the transparent parts of the source, which become opaque.
        prompt: None is as for `upscale`.
        strength: How much the masked part changes, 0 to 1.
        grow: By how many pixels the mask's edge moves outwards (inwards where negative).
        feather: Over how many pixels inside the edge the new picture fades in.
        full_res: Paint only the masked area and `context` pixels round it, at the size that suits the model (`tile`).
        settings: As for `generate`.

    Raises:
        SDError: The source, the mask or the settings cannot be used.
    """
    info, prompt, merged, _ = resolve(prompt, settings, source)
    data, size = open_source(source)
    alpha = isinstance(mask, str) and mask == "ALPHA"
    inputs = {"source": data, "mask": data if alpha else runtime.scene.open_mask(mask, size, source)}
    return submit_task(INPAINT, info, prompt, size, inputs, merged, given=source, tile=tile, strength=strength,
                       mask_kind="alpha" if alpha else "white", mask_grow=grow, mask_feather=feather,
                       mask_full_res=full_res, mask_context=context)


@scene_call
def outpaint(source: Any, prompt: str | None = None, *, left: int = 0, right: int = 0, top: int = 0, bottom: int = 0,
             aspect: tuple[float, float] | None = None, overlap: int = 8, strength: float = 1.0,
             **settings: Unpack[Settings]) -> Job:
    """Extend a picture beyond its borders. Return its job at once.

    Args:
        source: As for `restyle`.
        prompt: None is as for `upscale`.
        left, right, top, bottom: By how many pixels each side grows.
        aspect: Width and height of the shape to reach instead, half of the growth on each side.
        overlap: How many pixels inside the old border are painted over and blended in; all others stay as they were.
        strength: How much of the new area's first filling is repainted, 0 to 1.
        settings: As for `generate`.

    Raises:
        SDError: The source or the settings cannot be used, or nothing would be added.
    """
    settings.setdefault("tiling", "none")  # a style's would make borders meet that do not exist
    info, prompt, merged, _ = resolve(prompt, settings, source)
    data, (width, height) = open_source(source)
    if aspect is not None:
        left, right, top, bottom = request_builder.margins(width, height, aspect)
    if not (left or right or top or bottom):
        raise InvalidRequest("There is nothing to add to the picture.",
                             "Say by how many pixels it is to grow, or choose another aspect.")
    larger = request_builder.checked_size((width + left + right, height + top + bottom))
    return submit_task(OUTPAINT, info, prompt, larger, {"source": data}, merged, given=source, strength=strength,
                       mask_grow=overlap, mask_feather=overlap, expand_left=left, expand_right=right, expand_top=top,
                       expand_bottom=bottom)


@scene_call
def make_seamless(source: Any, prompt: str | None = None, *, tiling: str = "xy", band: float = default("band"),
                  strength: float = 0.75, feather: int = default("mask_feather"),
                  **settings: Unpack[CommonSettings]) -> Job:
    """Make a texture repeat without a seam. Return its job at once.

    A band across the border is repainted so that both sides meet; every other pixel stays as it was.

    Args:
        source: As for `restyle`.
        prompt: None is as for `upscale`.
        tiling: x, y or xy: the axes along which it is to repeat.
        band: The band's width as a share of a side.
        strength: How much the band changes, 0 to 1.
        feather: Over how many pixels the band fades in.
        settings: As for `generate`.

    Raises:
        SDError: The source or the settings cannot be used.
    """
    info, prompt, merged, _ = resolve(prompt, {**settings, "tiling": tiling}, source)
    if tiling == "none":
        raise InvalidRequest("No axis was chosen along which the texture is to repeat.", "Set Tiling to X, Y or Both.")
    data, size = open_source(source)
    return submit_task(MAKE_SEAMLESS, info, prompt, size, {"source": data}, merged, given=source, strength=strength,
                       band=band, mask_feather=feather)
