"""Image and mask → image with the masked part repainted; every other pixel stays bit for bit.

Ordinary models paint the whole picture and have the rest put back at every step (RePaint's blending, Lugmayr et al.
2022); inpaint checkpoints (9 channels) see the mask and its surroundings. diffusers' pipeline does whichever its model
needs.
"""
from __future__ import annotations

import math

import numpy as np
from PIL import Image

from ...core.request import Request
from ...protocol.messages import Source
from ..conditioning import sources
from ..denoise.plan import Plan
from . import image_to_image, masks


def prepare(request: Request, inputs: dict[str, Source], multiple: int) -> Plan:
    """Return the plan for a picture of exactly the request's size, with the source's alpha.

    If the mask is the source's alpha itself, the painted part becomes opaque.

    Args:
        request: The request for one picture.
        inputs: The input pictures by role; "source" and "mask" are used.
        multiple: Pixels that both sides of what is painted must be multiples of.

    Raises:
        SourceUnusable: The source or the mask is missing or broken.
    """
    picture, alpha = sources.open_source(inputs.get("source"))
    size = (request.width, request.height)
    picture, alpha = sources.resized(picture, alpha, size)
    mask, note = masks.read(inputs.get("mask"), request.task.mask_kind, size)
    return plan(picture, alpha, mask, request, multiple, opaque=request.task.mask_kind == "alpha",
                notes=(note,) if note else ())


def plan(picture: Image.Image, alpha: Image.Image | None, mask: np.ndarray, request: Request, multiple: int, *,
         opaque: bool = False, notes: tuple[str, ...] = ()) -> Plan:
    """Return the plan for repainting the masked part of a picture.

    Args:
        picture: The picture, RGB.
        alpha: Its alpha as an L image, or None.
        mask: H×W bool, True where the picture is repainted.
        request: The request for one picture, whose task is Inpaint.
        multiple: Pixels that both sides of what is painted must be multiples of.
        opaque: Whether the source is worthless under the mask: the painted part starts from the colours round it and
            becomes opaque.
        notes: Notes for the artist so far.
    """
    task = request.task
    mask = masks.grown(mask, task.grow, request.tiling)
    weight = masks.feathered(mask, task.feather, request.tiling)
    if not mask.any():
        return _unchanged(picture, alpha, (*notes, "The mask is empty: nothing is repainted."))
    if int(request.steps * task.strength) < 1:
        if task.strength > 0:
            notes += (image_to_image.nothing_to_denoise(request),)
        return _unchanged(picture, alpha, notes)
    pixels = np.asarray(picture)
    start = masks.filled(pixels, mask) if opaque else pixels
    if opaque and alpha is not None:
        alpha = Image.fromarray(np.where(mask, np.uint8(255), np.asarray(alpha)))
    crop = _whole_picture(mask)
    paint_size = crop_size = (crop.width, crop.height)
    if task.full_res:
        crop = masks.surroundings(mask, task.context, request.tiling)
        crop_size = (crop.width, crop.height)
        paint_size = _painting_size(crop_size, task.tile, multiple)
    tiling = "".join(axis for axis in "xy" if axis in crop.whole and axis in request.tiling)

    def fit(whole: Image.Image, filter: Image.Resampling = Image.Resampling.LANCZOS) -> Image.Image:
        return sources.padded(Image.fromarray(crop.cut(np.asarray(whole))).resize(paint_size, filter), multiple, tiling)

    canvas = fit(Image.fromarray(start))
    mask_pixels = np.repeat(mask[..., None], 3, 2).astype(np.uint8) * 255
    canvas_mask = fit(Image.fromarray(mask_pixels), Image.Resampling.NEAREST).convert("L")

    def finish(painted: Image.Image) -> Image.Image:
        part = painted.crop((0, 0, *paint_size)).resize(crop_size, Image.Resampling.LANCZOS)
        return sources.with_alpha(masks.pasted(start, crop.put(start, np.asarray(part)), weight), alpha)

    arguments = {"image": canvas, "mask_image": canvas_mask, "strength": task.strength, "width": canvas.width,
                 "height": canvas.height}
    return Plan(arguments, canvas.size, finish, notes=notes, tiling=tiling or "none", fit=fit)


def _unchanged(picture: Image.Image, alpha: Image.Image | None, notes: tuple[str, ...]) -> Plan:
    return Plan({}, picture.size, unchanged=sources.with_alpha(picture, alpha), notes=notes)


def _whole_picture(mask: np.ndarray) -> masks.Crop:
    return masks.Crop(0, 0, 0, 0, *mask.shape, "xy")


def _painting_size(size: tuple[int, int], tile: int, multiple: int) -> tuple[int, int]:
    """Return the size at which a part of the picture is painted.

    It has the part's shape, and as many pixels as a square of side `tile`.
    """
    scale = tile / math.sqrt(size[0] * size[1])
    return tuple(max(multiple, round(side * scale / multiple) * multiple) for side in size)
