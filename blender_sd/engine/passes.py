"""A whole picture from its plan: in one call of the pipeline, tile by tile, with a second pass that refines the first, or after
an upscaler."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from ..protocol.request import MAX_SEED, Request
from . import enlarging
from .models import Model
from .painting import Listener, paint
from .tasks import upscale
from .tasks.plan import Plan
from .tiles import Blend, Tiles
from .upscalers import Upscaler


def carry_out(model: Model, request: Request, plan: Plan, listener: Listener) -> Image.Image:
    """The finished picture of `request` (count 1). Raises SDError; libraries' own errors pass through."""
    if plan.unchanged is not None:
        return plan.unchanged.copy()
    if plan.small is not None:
        return _enlarged_first(model, request, plan, listener)
    if plan.refine is None:
        return _one_pass(model, request, plan, listener)
    second = replace(plan.refine, seed=request.seed)
    spans = _spans(listener, [request.steps, sum(_enlarging_steps(second, (request.width, request.height), model, plan.upscaler))])
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
    whole = _WholePreview(Image.fromarray(plan.source), plan.source.shape[1::-1], listener.preview_px)
    for number, (place, part_listener) in enumerate(zip(tiles.places, listeners, strict=True)):
        # Another seed for each tile: the same noise everywhere would show as a pattern.
        part_request = replace(request, seed=(request.seed + number) % (MAX_SEED + 1), tiling=tiles.tiling)
        part = plan.passed_on(Plan({**plan.arguments, "image": tiles.cut(plan.source, place)}, tiles.size))
        blend.add(paint(model, pipe, part_request, part, whole.around(part_listener, tiles, place)), place)
    return plan.finish(blend.picture())


def _enlarged_first(model: Model, request: Request, plan: Plan, listener: Listener) -> Image.Image:
    """The upscaler's picture, refined where the plan says so."""
    spans = _spans(listener, _enlarging_steps(request, plan.small.size, model, plan.upscaler))
    whole = _WholePreview(plan.small, (request.width, request.height), listener.preview_px)
    large = enlarging.enlarge(plan.small, request, plan.upscaler, spans[0], whole.with_tile)
    return carry_out(model, request, plan.passed_on(plan.refined(large)), spans[1])


def _enlarging_steps(request: Request, source: tuple[int, int], model: Model, upscaler: Upscaler | None) -> list[int]:
    """The pieces in which the upscaler enlarges a picture of the size `source`, and the steps of the refining after it."""
    return [enlarging.count(source, request, upscaler) if upscaler is not None else 0, upscale.steps(request, model.multiple)]


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
    """Previews of a picture of `size` that is painted tile by tile: the tile in its place on `source`, shrunk to at most `longest`
    pixels a side; none at 0."""

    def __init__(self, source: Image.Image, size: tuple[int, int], longest: int) -> None:
        self._scale = min(1.0, longest / max(size)) if longest > 0 else 0.0
        if self._scale:
            self._shown = np.array(source.resize([max(1, int(side * self._scale)) for side in size], Image.Resampling.BOX))

    def around(self, listener: Listener, tiles: Tiles, place: tuple[int, int]) -> Listener:
        """A listener for the tile at `place` that hands whole pictures on to `listener`."""

        def step(done: int, steps: int, preview: np.ndarray | None) -> None:
            listener.step(done, steps, None if preview is None else self.with_tile(tiles, preview, place))

        return replace(listener, step=step)

    def with_tile(self, tiles: Tiles, preview: np.ndarray, place: tuple[int, int]) -> np.ndarray | None:
        """The whole picture, once the tile at `place` looks like `preview`."""
        if not self._scale:
            return None
        rows, columns = (self._positions(axis.places(start), side, length) for axis, start, side, length in (
            (tiles.y, place[1], preview.shape[0], self._shown.shape[0]), (tiles.x, place[0], preview.shape[1], self._shown.shape[1])))
        self._shown[np.ix_(rows[1], columns[1])] = preview[np.ix_(rows[0], columns[0])]
        return self._shown.copy()

    def _positions(self, places: np.ndarray, side: int, length: int) -> tuple[np.ndarray, np.ndarray]:
        """Which of the preview's `side` pixels goes to which of the shown picture's `length`, along one axis."""
        shown, first = np.unique(np.minimum((places * self._scale).astype(int), length - 1), return_index=True)
        return first * side // len(places), shown
