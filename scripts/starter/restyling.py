"""How well renders are restyled: held-out scenes, from neutral grey to their material, at half strength with control.

Each scene is restyled twice, with its depth and with its lines as the control picture. Its render in the material
itself is what the result is compared with.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from blender_sd.engine.conditioning.control_images import canny
from diffusers import ControlNetModel, StableDiffusionControlNetImg2ImgPipeline, StableDiffusionPipeline
from PIL import Image
from scipy import ndimage

from . import classifier, scenes
from .common import autocast, set_circular

SET = "held_scenes"
CONTROLS = ("depth", "lines")
STRENGTH, STEPS, GUIDANCE = 0.5, 20, 3.0
_LEAST = 600  # visible pixels of a part that is judged
_WINDOW = 64  # pixels a side of what a judge sees
_REACH = 2  # pixels by which edges may be off, and that are left out along a part's border
_CONTRASTS = (1, 2, 4, 8)  # how strong edges must be is tried out, as in Martin et al. 2004: the best counts
_BINOMIAL = np.outer((1, 2, 1), (1, 2, 1)) / 16
_Layers = dict[str, np.ndarray]


def measure(
    pipe: StableDiffusionPipeline, folder: Path, judges: list[classifier.Scorer], log: Callable[[str], None],
    count: int = scenes.SETS[SET][0],
) -> dict[str, float]:  # fmt: skip
    """Return the figures of the first ``count`` held-out scenes, for each of `CONTROLS`:

        scenes_material_…  the share of parts (objects, or floor and wall) whose material is recognised; the lower one
                           of the judges counts. Without a control in its name: in the renders themselves
        scenes_edges_…     F-score of the edges against the geometry's lines. "source": that of the grey render;
                           "render": that of the render in the material
        scenes_fine_…      median over parts of the power of fine detail, by that of the render in the material
        scenes_noise_…     RMS of fine detail on plain things by the grey render's. "autoencoder": that of the grey
                           render encoded and decoded
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        scenes.prepare(Path(place), SET, log, os.cpu_count() or 1, count)
        layers = {name: np.array(layer) for name, layer in scenes.load(Path(place), SET).items()}
    return compared(pipe, folder, judges, layers, log)


def compared(
    pipe: StableDiffusionPipeline, folder: Path, judges: list[classifier.Scorer], layers: _Layers,
    log: Callable[[str], None],
) -> dict[str, float]:  # fmt: skip
    """Return the figures of held-out scenes that have been rendered."""
    listed = [scenes.scene_of(SET, index) for index in range(len(layers["things"]))]
    layers = layers | {name: layers[name].astype(np.float32) / 255 for name in ("picture", "twin")}
    figures = {
        "scenes_material": recognised(listed, layers, layers["picture"], judges),
        "scenes_edges_source": edges(listed, layers, layers["twin"]),
        "scenes_edges_render": edges(listed, layers, layers["picture"]),
        "scenes_noise_autoencoder": noise(listed, layers, coded(pipe, layers["twin"])),
    }
    for kind in CONTROLS:
        made = restyled(pipe, folder, listed, layers, kind)
        figures |= {
            f"scenes_material_{kind}": recognised(listed, layers, made, judges),
            f"scenes_edges_{kind}": edges(listed, layers, made),
            f"scenes_fine_{kind}": fine(listed, layers, made),
            f"scenes_noise_{kind}": noise(listed, layers, made),
        }
        log(f"scenes restyled with {kind}: {figures}")
    return figures


def restyled(
    pipe: StableDiffusionPipeline, folder: Path, listed: list[scenes.Scene], layers: _Layers, kind: str
) -> np.ndarray:
    """Restyle the twins with a layer as the control picture; returns (N, S, S, 3) float32 sRGB, 8-bit levels in 0…1."""
    net = ControlNetModel.from_pretrained(folder)
    parts = {name: part for name, part in pipe.components.items() if name != "image_encoder"}
    steered = StableDiffusionControlNetImg2ImgPipeline(**parts, controlnet=net, requires_safety_checker=False)
    steered.set_progress_bar_config(disable=True)
    for network in (pipe.unet, pipe.vae):
        set_circular(network, False)
    made = []
    for number, scene in enumerate(listed):
        with autocast("cpu"):
            painted = steered(
                scenes.prompt(scene), image=_image(layers["twin"][number]),
                control_image=_image(layers[kind][number].astype(np.float32) / 255).convert("RGB"), strength=STRENGTH,
                num_inference_steps=STEPS, guidance_scale=GUIDANCE, generator=torch.Generator().manual_seed(number),
            ).images[0]  # fmt: skip
        made.append(np.asarray(painted, np.float32) / 255)
    return np.stack(made)


@torch.no_grad()
def coded(pipe: StableDiffusionPipeline, pictures: np.ndarray) -> np.ndarray:
    """Return pictures (N, S, S, 3), 0…1, as the autoencoder gives them back."""
    set_circular(pipe.vae, False)
    parts = [torch.from_numpy(picture).permute(2, 0, 1)[None] * 2 - 1 for picture in pictures]
    decoded = [pipe.vae.decode(pipe.vae.encode(part).latents).sample[0] for part in parts]
    return torch.stack(decoded).permute(0, 2, 3, 1).div(2).add(0.5).clamp(0, 1).numpy()


def recognised(
    listed: list[scenes.Scene], layers: _Layers, pictures: np.ndarray, judges: list[classifier.Scorer]
) -> float:
    """Return the share of parts in a material whose material a judge recognises, by the judge that knows fewest."""
    parts = _parts(listed, layers, plain=False)
    crops, masks = (
        torch.from_numpy(np.stack(values)).float() for values in
        zip(*(window(pictures[number], part) for number, part in parts), strict=True))  # fmt: skip
    seen = classifier.masked(crops.permute(0, 3, 1, 2).contiguous() * 2 - 1, masks[:, None])
    return classifier.lowest(judges, seen, [listed[number].spec for number, _ in parts])["material"]


def window(picture: np.ndarray, part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what is round the innermost pixel of a part, (64, 64, 3), and where the part is in it, (64, 64) bool."""
    inner = ndimage.distance_transform_edt(np.pad(part, 1))[1:-1, 1:-1]
    middle = np.unravel_index(int(inner.argmax()), inner.shape)
    top, left = (int(np.clip(at - _WINDOW // 2, 0, len(part) - _WINDOW)) for at in middle)
    place = (slice(top, top + _WINDOW), slice(left, left + _WINDOW))
    return picture[place], part[place]


def edges(listed: list[scenes.Scene], layers: _Layers, pictures: np.ndarray) -> float:
    """Return the mean F-score of Canny edges against the geometry's lines, at the threshold that suits all scenes best.

    Inside parts in a material, edges count neither way: they are the material's own.
    """
    scores = np.empty((len(listed), len(_CONTRASTS)))
    for number, (scene, picture) in enumerate(zip(listed, pictures, strict=True)):
        lines, things = layers["lines"][number] > 0, layers["things"][number]
        counted = np.ones(lines.shape, bool)
        for part in scenes.shown(scene, things) if scene.spec is not None else []:
            counted &= ~_inside(part)
        for column, contrast in enumerate(_CONTRASTS):
            scores[number, column] = f_score(canny(picture.mean(-1) * contrast), lines, counted)
    return float(scores.mean(0).max())


def f_score(drawn: np.ndarray, lines: np.ndarray, counted: np.ndarray) -> float:
    """Return the harmonic mean of how many lines have an edge nearby, and how many ``counted`` edges a line; bool maps.
    """
    off_edges, off_lines = (ndimage.distance_transform_edt(~there) if there.any() else np.full(there.shape, np.inf)
                            for there in (drawn, lines))  # fmt: skip
    recall = float((off_edges[lines] <= _REACH).mean()) if lines.any() else 1.0
    kept = drawn & counted
    precision = float((off_lines[kept] <= _REACH).mean()) if kept.any() else 1.0
    return 2 * precision * recall / max(precision + recall, 1e-9)


def fine(listed: list[scenes.Scene], layers: _Layers, pictures: np.ndarray) -> float:
    """Return the median over parts in a material of the power of fine detail, by that of the render in the material."""
    ratios = []
    for number, part in _parts(listed, layers, plain=False):
        smooth = part & (layers["lines"][number] == 0)
        ratios.append(_power(pictures[number], smooth) / max(_power(layers["picture"][number], smooth), 1e-9))
    return float(np.median(ratios))


def noise(listed: list[scenes.Scene], layers: _Layers, pictures: np.ndarray) -> float:
    """Return the RMS of fine detail on plain parts, by that of the grey render."""
    powers = []
    for number, part in _parts(listed, layers, plain=True):
        smooth = part & (layers["lines"][number] == 0)
        powers.append((_power(pictures[number], smooth), _power(layers["twin"][number], smooth)))
    made, source = np.mean(powers, 0)
    return float(np.sqrt(made / max(source, 1e-12)))


def _parts(listed: list[scenes.Scene], layers: _Layers, plain: bool) -> list[tuple[int, np.ndarray]]:
    """Return (number of the scene, mask) of every part that is large enough: the plain ones, or those in a material."""
    return [(number, part) for number, scene in enumerate(listed) if (scene.spec is None) == plain
            for part in scenes.shown(scene, layers["things"][number]) if part.sum() >= _LEAST]  # fmt: skip


def _inside(part: np.ndarray) -> np.ndarray:
    return ndimage.binary_erosion(part, iterations=_REACH, border_value=1)


def _power(picture: np.ndarray, part: np.ndarray) -> float:
    """Return the power of what a small blur takes away, inside a part."""
    rest = picture - ndimage.convolve(picture, _BINOMIAL[..., None], mode="nearest")
    return float(np.square(rest[_inside(part)]).mean())


def _image(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.round(values * 255).astype(np.uint8))
