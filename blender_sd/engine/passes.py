"""A whole picture from its plan: in one call of the pipeline, tile by tile, or with a second pass that refines the first."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from ..protocol.request import MAX_SEED, Request
from .models import Model
from .painting import Listener, paint
from .tasks import upscale
from .tasks.plan import Plan
from .tiles import Blend, Tiles


def carry_out(model: Model, request: Request, plan: Plan, listener: Listener) -> Image.Image:
    """The finished picture of `request` (count 1). Raises SDError; libraries' own errors pass through."""
    if plan.unchanged is not None:
        return plan.unchanged.copy()
    if plan.refine is None:
        return _one_pass(model, request, plan, listener)
    second = replace(plan.refine, seed=request.seed)
    spans = _spans(listener, [request.steps, _refining_steps(second, model.multiple)])
    first = _one_pass(model, request, plan, spans[0])
    return carry_out(model, second, plan.passed_on(upscale.plan(first, None, second, model.multiple)), spans[1])


def pipes(model: Model, request: Request, plan: Plan) -> list[Any]:
    """The pipelines that the passes of `request` need; the first is that of the first pass. Raises InvalidRequest where the
    model has none."""
    found = [model.pipe(request.task, plan.steering.nets)]
    return found if plan.refine is None else [*found, model.pipe(plan.refine.task)]


def _one_pass(model: Model, request: Request, plan: Plan, listener: Listener) -> Image.Image:
    pipe = model.pipe(request.task, plan.steering.nets)
    if plan.tiles is None:
        return paint(model, pipe, request if plan.tiling is None else replace(request, tiling=plan.tiling), plan, listener)
    tiles, blend = plan.tiles, Blend(plan.tiles)
    listeners = _spans(listener, [1] * len(tiles.places))
    whole = _WholePreview(plan.source, listener.preview_px)
    for number, (place, part_listener) in enumerate(zip(tiles.places, listeners, strict=True)):
        # Another seed for each tile: the same noise everywhere would show as a pattern.
        part_request = replace(request, seed=(request.seed + number) % (MAX_SEED + 1), tiling=tiles.tiling)
        part = plan.passed_on(Plan({**plan.arguments, "image": tiles.cut(plan.source, place)}, tiles.size))
        blend.add(paint(model, pipe, part_request, part, whole.around(part_listener, tiles, place)), place)
    return plan.finish(blend.picture())


def _refining_steps(refine: Request, multiple: int) -> int:
    """Denoising steps of a refining pass, all tiles together."""
    tiles = Tiles.of((refine.width, refine.height), refine.tile, multiple, refine.tiling)
    return len(tiles.places) * int(refine.steps * refine.strength)


def _spans(listener: Listener, weights: Sequence[int]) -> list[Listener]:
    """A listener for each part of a work; `listener` hears one count of steps over all parts, of which each has a share as
    large as its weight."""
    return [_span(listener, sum(weights[:index]), weight, sum(weights)) for index, weight in enumerate(weights)]


def _span(listener: Listener, before: int, weight: int, whole: int) -> Listener:
    def step(done: int, steps: int, preview: np.ndarray | None) -> None:
        scale = max(1, round(steps / weight)) if weight else 1  # parts that count themselves finer make the whole finer
        listener.step(before * scale + round(done * weight * scale / steps), whole * scale, preview)

    return replace(listener, step=step)


class _WholePreview:
    """Previews of a picture that is painted tile by tile: the tile in its place on the shrunk source."""

    def __init__(self, source: np.ndarray, longest: int) -> None:
        self._scale = min(1.0, longest / max(source.shape[:2])) if longest > 0 else 0.0
        if self._scale:
            size = [max(1, int(side * self._scale)) for side in (source.shape[1], source.shape[0])]
            self._shown = np.array(Image.fromarray(source).resize(size, Image.Resampling.BOX))

    def around(self, listener: Listener, tiles: Tiles, place: tuple[int, int]) -> Listener:
        """A listener for the tile at `place` that hands whole pictures on to `listener`."""

        def step(done: int, steps: int, preview: np.ndarray | None) -> None:
            listener.step(done, steps, None if preview is None else self._with(preview, tiles, place))

        return replace(listener, step=step)

    def _with(self, preview: np.ndarray, tiles: Tiles, place: tuple[int, int]) -> np.ndarray:
        rows, columns = (self._positions(axis.places(start), side, length) for axis, start, side, length in (
            (tiles.y, place[1], preview.shape[0], self._shown.shape[0]), (tiles.x, place[0], preview.shape[1], self._shown.shape[1])))
        self._shown[np.ix_(rows[1], columns[1])] = preview[np.ix_(rows[0], columns[0])]
        return self._shown.copy()

    def _positions(self, places: np.ndarray, side: int, length: int) -> tuple[np.ndarray, np.ndarray]:
        """Which of the preview's `side` pixels goes to which of the shown picture's `length`, along one axis."""
        shown, first = np.unique(np.minimum((places * self._scale).astype(int), length - 1), return_index=True)
        return first * side // len(places), shown
