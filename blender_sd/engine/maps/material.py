"""The maps of a material from one picture of it, by the source that the task names."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ...core.errors import SourceUnusable
from ...core.roles import BASE_COLOUR, HEIGHT, METALLIC, NON_COLOR, NORMAL, OCCLUSION, ROUGHNESS, SRGB
from ...core.tasks import AUTO_SOURCE, ESTIMATED, MAP_SOURCES, MARIGOLD, TRAINED, PbrMaps
from . import deterministic, estimator, judging
from .estimator import Estimate
from .height import integrate, normals, occlusion

_CPU = torch.device("cpu")
_FLAT = 1e-4  # pixels of relief below which a height map would be nothing but rounding


@dataclass(frozen=True)
class Map:
    """One finished map: its `role` and `colour_space` (`core.roles`), its `image`, 8-bit as a picture or 16-bit as
    an array (H, W) or (H, W, 3) of uint16, and for a height the `depth` in metres between black and white."""

    role: str
    image: Image.Image | np.ndarray
    colour_space: str = NON_COLOR
    depth: float = 0.0


def made_by(task: PbrMaps) -> str:
    """Return the name, in words, of the source that a task's maps come from."""
    return MAP_SOURCES[source_of(task)][0]


def source_of(task: PbrMaps) -> str:
    """Return the source that a task's maps come from: its own, or the best that is there."""
    if task.map_source != AUTO_SOURCE:
        return task.map_source
    if task.intrinsics:
        return MARIGOLD
    return TRAINED if (estimator.FOLDER / "model.safetensors").is_file() else ESTIMATED


def maps_of(picture: Image.Image, alpha: Image.Image | None, task: PbrMaps, check: Callable[[], None],
            progress: Callable[[float], None], note: Callable[[str], None],
            device: torch.device = _CPU) -> Iterator[Map]:
    """Yield the maps of a material in the order of `core.roles.MAPS`.

    Args:
        picture: RGB, sRGB as displayed.
        alpha: L, of the same size; None for an opaque picture. It is kept in the base colour.
        task: How.
        check: Raises JobCancelled if the job was cancelled.
        progress: Called with the share that is done, 0 to 1.
        note: Called with what the artist should know.
        device: Where Marigold runs; our own estimates are quick anywhere and take the processor.

    Raises:
        SourceUnusable: The picture is a normal map.
        SDError: The source that was chosen cannot be used.
    """
    pixels = np.asarray(picture.convert("RGB"))
    judging.refuse_normal_map(pixels)
    repeats = judging.wraps(pixels)
    wraps = _wraps(repeats, task, note)
    for text in judging.doubts(pixels, all(repeats)):
        note(text)
    tensor = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
    maps = estimated(tensor, wraps, task, check, progress, device)
    check()
    yield from _finished(maps, wraps, alpha, task)


@torch.inference_mode()  # as a block, it would hold for the caller too between two maps
def _finished(maps: Estimate, wraps: tuple[bool, bool], alpha: Image.Image | None, task: PbrMaps) -> Iterator[Map]:
    height = integrate(maps.slope, maps.coarse, wraps)
    base = _bytes(maps.base[0])
    yield Map(BASE_COLOUR, _picture(base, alpha), SRGB)
    deep = task.map_bits == "16"
    yield Map(NORMAL, _numbers(normals(height, wraps)[0] * 0.5 + 0.5, deep))
    yield _height_map(height, deep, task.metres)
    yield Map(ROUGHNESS, _numbers(maps.roughness[0], False))
    yield Map(METALLIC, _numbers(maps.metallic[0], False))
    yield Map(OCCLUSION, _numbers(occlusion(height, wraps)[0], False))


def _wraps(wraps: tuple[bool, bool], task: PbrMaps, note: Callable[[str], None]) -> tuple[bool, bool]:
    """Return the axes on which a task's picture repeats, given those that its pixels show to (`wraps`)."""
    if task.wraps != "auto":
        return "x" in task.wraps, "y" in task.wraps
    if not any(wraps):
        note("The picture does not repeat without a seam, so neither do its maps. Make it seamless first.")
    elif not wraps[0]:
        note("The picture does not repeat from left to right, so neither do its maps. Make it seamless first.")
    elif not wraps[1]:
        note("The picture does not repeat from top to bottom, so neither do its maps. Make it seamless first.")
    return wraps


def estimated(picture: Tensor, wraps: tuple[bool, bool], task: PbrMaps, check: Callable[[], None],
              progress: Callable[[float], None], device: torch.device) -> Estimate:
    """Return what the task's source makes of a picture (1, 3, H, W), sRGB 0…1, that wraps around across and down or
    not. Raises SDError."""
    source = source_of(task)
    if source == MARIGOLD:
        from . import marigold

        return marigold.estimate(picture, wraps, task.intrinsics, task.normals, device, check, progress)
    if source == TRAINED:
        return estimator.estimate(picture, wraps, check, progress)
    return deterministic.estimate(picture, wraps)


def _height_map(height: Tensor, deep: bool, metres: float) -> Map:
    low, high = float(height.min()), float(height.max())
    spread = high - low
    if spread < _FLAT:
        return Map(HEIGHT, _numbers(torch.full_like(height[0], 0.5), deep))
    return Map(HEIGHT, _numbers((height[0] - low) / spread, deep), depth=spread * metres / height.shape[-1])


def _bytes(values: Tensor) -> np.ndarray:
    return (values.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()


def as_image(values: np.ndarray, deep: bool) -> Image.Image | np.ndarray:
    """Return values (H, W, 1 or 3) in 0…1 as a grey or an RGB image: 8-bit, or, if `deep`, an array of uint16."""
    most, kind = (65535, np.uint16) if deep else (255, np.uint8)
    pixels = np.rint(values.clip(0, 1) * most).astype(kind)
    pixels = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    return pixels if deep else Image.fromarray(pixels)


def _numbers(values: Tensor, deep: bool) -> Image.Image | np.ndarray:
    return as_image(values.permute(1, 2, 0).numpy(), deep)


def _picture(base: np.ndarray, alpha: Image.Image | None) -> Image.Image:
    picture = Image.fromarray(base)
    if alpha is not None:
        if alpha.size != picture.size:
            raise SourceUnusable("The picture and its alpha differ in size.", "Save it again as PNG.")
        picture.putalpha(alpha)
    return picture
