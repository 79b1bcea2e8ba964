"""Compare a texture with the views that it was made of, and these with views that were painted alone."""
from __future__ import annotations

import functools
import sys
from typing import Any

from .. import common

NEAR = 8  # texels


def compared(together: Any, alone: Any) -> dict[str, float]:
    """Return the figures of one job."""
    import numpy as np

    views, pictures, (baker, baked) = together
    read = readings(baker, views, pictures)
    read_alone = readings(baker, views, alone[1])
    texture = encoded(baked.colours).reshape(-1, 3)
    texel = baker.texels.texel
    pairs, length = neighbours(baker)
    best = np.where(read["quality"].max(1) > 0, read["quality"].argmax(1), -1)
    steps = np.linalg.norm(texture[texel[pairs[0]]] - texture[texel[pairs[1]]], axis=1)
    single = steps_in_views(read_alone, best, pairs)
    known = np.isfinite(single) & (best[pairs[0]] >= 0)
    near = near_seams(baker, best)[pairs[0]]
    border = (best[pairs[0]] != best[pairs[1]]) & (best[pairs[0]] >= 0) & (best[pairs[1]] >= 0)
    inside = (best[pairs[0]] == best[pairs[1]]) & (best[pairs[0]] >= 0)
    slope = steps[inside].sum() / length[inside].sum()
    fidelity = [view_fidelity(views.stage, number, picture, baked) for number, picture in enumerate(pictures)]
    return {
        "disagree_together": disagreement(read), "disagree_alone": disagreement(read_alone),
        "energy": float((steps[known] ** 2).mean() / (single[known] ** 2).mean()),
        "energy_seams": float((steps[known & near] ** 2).mean() / (single[known & near] ** 2).mean()),
        "seam_uv": seam_step(baker, texture, read, best, float(np.median(length))),
        "seam_view": float(steps[border].sum() / length[border].sum() / slope) if border.any() else 1.0,
        "fidelity": float(np.mean(fidelity)), "fidelity_least": float(min(fidelity)),
        "filled": float(baked.set[baked.covered].mean()),
    }


def encoded(linear: Any) -> Any:
    """Return linear light as sRGB from 0 to 1."""
    import numpy as np

    values = np.clip(linear, 0, 1)
    return np.where(values <= 0.0031308, values * 12.92, 1.055 * values ** (1 / 2.4) - 0.055)


def readings(baker: Any, views: Any, pictures: Any) -> dict[str, Any]:
    """Return what each view shows at each texel: N×V×3 colours in sRGB and N×V qualities, 0 where it does not."""
    import numpy as np

    from blender_sd.engine.tasks.bake import view_of
    from blender_sd.geometry import bake, colours, gather

    cameras = [view_of(lens, picture.size) for lens, picture in zip(views.lenses, pictures)]
    linear = [colours.linear(np.asarray(picture.convert("RGBA"))) for picture in pictures]
    prepared = bake.Prepared(baker.surface, cameras, linear, 1)
    count = baker.texels.count
    result = {"colours": np.zeros((count, len(cameras), 3), np.float32),
              "quality": np.zeros((count, len(cameras)), np.float32)}
    for number in range(len(cameras)):
        picture, = prepared.of(range(number, number + 1))
        reading = gather.read_part(baker.texels, picture)
        result["colours"][reading.entries, number] = encoded(reading.colours)
        result["quality"][reading.entries, number] = reading.quality
    return result


def disagreement(read: dict[str, Any]) -> float:
    """Return the weighted RMSE between views where at least two see a texel."""
    import numpy as np

    several = (read["quality"] > 0).sum(1) > 1
    weight = read["quality"][several] ** 2
    weight /= weight.sum(1, keepdims=True)
    colours = read["colours"][several]
    mean = (colours * weight[..., None]).sum(1, keepdims=True)
    return float(np.sqrt((((colours - mean) ** 2).mean(2) * weight).sum(1).mean()))


def neighbours(baker: Any) -> tuple[Any, Any]:
    """Return pairs of entries that are neighbours on the image and in space (2×n), and their distances."""
    import numpy as np

    texels = baker.texels
    sheet = baker.layout.sheets[0]
    at = np.full(sheet.width * sheet.height, -1)
    at[texels.texel[texels.inside]] = np.flatnonzero(texels.inside)
    at = at.reshape(sheet.height, sheet.width)
    pairs = np.concatenate([np.stack([one[(one >= 0) & (other >= 0)], other[(one >= 0) & (other >= 0)]])
                            for one, other in ((at[:, :-1], at[:, 1:]), (at[:-1], at[1:]))], 1)
    length = np.linalg.norm(texels.points[pairs[0]] - texels.points[pairs[1]], axis=1)
    near = (length > 0) & (length < 4 * np.median(length)) & (
        texels.islands[pairs[0]] == texels.islands[pairs[1]])
    return pairs[:, near], length[near]


def steps_in_views(read: dict[str, Any], best: Any, pairs: Any) -> Any:
    """Return the step between the texels of each pair in the view that is best at the first; NaN if it lacks one."""
    import numpy as np

    view = np.maximum(best[pairs[0]], 0)
    both = (read["quality"][pairs[0], view] > 0) & (read["quality"][pairs[1], view] > 0)
    step = np.linalg.norm(read["colours"][pairs[0], view] - read["colours"][pairs[1], view], axis=1)
    return np.where(both, step, np.nan)


def near_seams(baker: Any, best: Any) -> Any:
    """Return which entries lie within NEAR texels of a UV seam or a border between best views."""
    import numpy as np
    from scipy.ndimage import binary_dilation

    sheet = baker.layout.sheets[0]
    line = np.zeros((sheet.height, sheet.width), bool)
    samples, borders = baker.layout.border_samples, baker.layout.borders
    paired = borders.twin[samples.edge] >= 0
    column, row = np.floor(samples.here[paired]).astype(int).T
    line[np.clip(row, 0, sheet.height - 1), np.clip(column, 0, sheet.width - 1)] = True
    view = np.full(sheet.width * sheet.height, -1)
    view[baker.texels.texel] = best
    view = view.reshape(line.shape)
    line[:, 1:] |= (view[:, 1:] != view[:, :-1]) & (view[:, 1:] >= 0) & (view[:, :-1] >= 0)
    line[1:] |= (view[1:] != view[:-1]) & (view[1:] >= 0) & (view[:-1] >= 0)
    return binary_dilation(line, iterations=NEAR).ravel()[baker.texels.texel]


def seam_step(baker: Any, texture: Any, read: dict[str, Any], best: Any, typical: float) -> float:
    """Return the texture's steps across UV seams against those that the best views show between the same points.

    Each texel beside a seam is compared with one on the other side that is about as far from it as neighbours are
    (`typical`): the centres of texels that meet at a seam can lie at nearly the same point, with no step to measure.
    """
    import numpy as np
    from scipy.spatial import cKDTree

    layout, texels = baker.layout, baker.texels
    samples, borders = layout.border_samples, layout.borders
    paired = borders.twin[samples.edge] >= 0
    if not paired.any():
        return 1.0
    sheet = layout.sheets[0]
    inside = np.flatnonzero(texels.inside)
    place = np.stack([texels.texel[inside] % sheet.width, texels.texel[inside] // sheet.width], 1) + 0.5
    tree = cKDTree(place)
    here = inside[tree.query(samples.here[paired])[1]]
    there = inside[tree.query(samples.there[paired], k=9)[1]]
    lengths = np.linalg.norm(texels.points[here][:, None] - texels.points[there], axis=2)
    there = there[np.arange(len(here)), np.abs(lengths - typical).argmin(1)]
    step = np.linalg.norm(texture[texels.texel[here]] - texture[texels.texel[there]], axis=1)
    shown = steps_in_views(read, best, np.stack([here, there]))
    usable = (best[here] >= 0) & np.isfinite(shown)
    return float(step[usable].sum() / shown[usable].sum()) if usable.any() else 1.0


def view_fidelity(stage: Any, number: int, picture: Any, baked: Any) -> float:
    """Return dB between a view's picture and the texture as it sees it, where it is the best view."""
    import numpy as np

    from blender_sd.geometry import showing
    from tests.support import meshes

    image = np.rint(encoded(baked.colours) * 255).astype(np.uint8)
    sight = stage.sights[number]
    shown, _ = showing.textured(stage.surface, sight, stage.sheets, [image], np.zeros(3))
    uv = showing.coordinates(stage.surface, sight) % 1.0
    column = (uv[:, 0] * image.shape[1]).astype(int).clip(0, image.shape[1] - 1)
    row = ((1 - uv[:, 1]) * image.shape[0]).astype(int).clip(0, image.shape[0] - 1)
    mine = sight.pixel[baked.view[row, column] == number]
    if not len(mine):
        return 99.0
    return meshes.psnr(shown.reshape(-1, 3)[mine] / 255, np.asarray(picture).reshape(-1, 3)[mine] / 255)


def material_share(pictures: Any, family: str) -> float:
    """Return the share of pictures whose material the starter's judge recognises."""
    import numpy as np
    import torch

    if str(common.ROOT / "scripts") not in sys.path:
        sys.path.insert(0, str(common.ROOT / "scripts"))
    from starter import evaluate, materials

    values = np.stack([np.asarray(picture, np.float32) / 255 for picture in pictures])
    with torch.no_grad():
        material = _judge()(evaluate.to_scorer(values)).material
    return float((material.argmax(1).numpy() == materials.FAMILIES.index(family)).mean())


@functools.cache
def _judge() -> Any:
    from starter import classifier

    return classifier.load()
