"""Image and mask → image with the masked part painted anew; every other pixel stays as it was, bit for bit.

Ordinary models paint the whole and have the rest put back at every step (RePaint's blending, Lugmayr et al. 2022); inpaint
checkpoints (9 channels) see the mask and what lies round it. diffusers' pipeline does either by the model it is given.
"""
from __future__ import annotations

import math

import numpy as np
from PIL import Image

from ...protocol.messages import Source
from ...protocol.request import Request
from .. import masks, sources
from . import image_to_image
from .plan import Plan


def prepare(request: Request, inputs: dict[str, Source], multiple: int) -> Plan:
    """The result has exactly the request's size and the source's alpha; where the mask is the alpha itself, what is painted
    becomes opaque. Raises SourceUnusable."""
    picture, alpha = sources.open_source(inputs.get("source"))
    size = (request.width, request.height)
    picture, alpha = sources.resized(picture, alpha, size)
    mask, note = masks.read(inputs.get("mask"), request.mask_kind, size)
    return plan(picture, alpha, mask, request, multiple, opaque=request.mask_kind == "alpha", notes=(note,) if note else ())


def plan(picture: Image.Image, alpha: Image.Image | None, mask: np.ndarray, request: Request, multiple: int, *, opaque: bool = False,
         notes: tuple[str, ...] = ()) -> Plan:
    """The same for an open picture (RGB, its alpha as L or None) and mask (H×W bool). `opaque`: what is painted has no source
    worth keeping: it starts from its surroundings' colours and becomes opaque."""
    mask = masks.grown(mask, request.mask_grow, request.tiling)
    weight = masks.feathered(mask, request.mask_feather, request.tiling)
    if not mask.any():
        return _unchanged(picture, alpha, (*notes, "The mask is empty: nothing is painted anew."))
    if int(request.steps * request.strength) < 1:
        if request.strength > 0:
            notes += (image_to_image.nothing_to_denoise(request),)
        return _unchanged(picture, alpha, notes)
    pixels = np.asarray(picture)
    start = masks.filled(pixels, mask) if opaque else pixels
    if opaque and alpha is not None:
        alpha = Image.fromarray(np.where(mask, np.uint8(255), np.asarray(alpha)))
    crop = masks.surroundings(mask, request.mask_context, request.tiling) if request.mask_full_res else _all_of(mask)
    part_size = (crop.width, crop.height)
    size = _painting_size(part_size, request.tile, multiple) if request.mask_full_res else part_size
    tiling = "".join(axis for axis in "xy" if axis in crop.whole and axis in request.tiling)

    def fit(whole: Image.Image, filter: Image.Resampling = Image.Resampling.LANCZOS) -> Image.Image:
        return sources.padded(Image.fromarray(crop.cut(np.asarray(whole))).resize(size, filter), multiple, tiling)

    canvas = fit(Image.fromarray(start))
    marked = fit(Image.fromarray(np.repeat(mask[..., None], 3, 2).astype(np.uint8) * 255), Image.Resampling.NEAREST).convert("L")

    def finish(painted: Image.Image) -> Image.Image:
        part = painted.crop((0, 0, *size)).resize(part_size, Image.Resampling.LANCZOS)
        return sources.with_alpha(masks.pasted(start, crop.put(start, np.asarray(part)), weight), alpha)

    arguments = {"image": canvas, "mask_image": marked, "strength": request.strength, "width": canvas.width, "height": canvas.height}
    return Plan(arguments, canvas.size, finish, notes=notes, tiling=tiling or "none", fit=fit)


def _unchanged(picture: Image.Image, alpha: Image.Image | None, notes: tuple[str, ...]) -> Plan:
    return Plan({}, picture.size, unchanged=sources.with_alpha(picture, alpha), notes=notes)


def _all_of(mask: np.ndarray) -> masks.Crop:
    return masks.Crop(0, 0, 0, 0, *mask.shape, "xy")


def _painting_size(size: tuple[int, int], tile: int, multiple: int) -> tuple[int, int]:
    """The size at which a part of `size` is painted: of its shape, with as many pixels as a square of `tile` a side."""
    scale = tile / math.sqrt(size[0] * size[1])
    return tuple(max(multiple, round(side * scale / multiple) * multiple) for side in size)
