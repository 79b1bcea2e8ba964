"""Paint a whole picture from its plan: in one call, tile by tile, with a refining second pass, or after an upscaler."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from ...core.common_settings import MAX_SEED
from ...core.request import Request
from ...core.tasks import INPAINT
from ..models.cache import Model
from . import enlarging, refining
from .painting import Listener, paint
from .plan import Plan
from .shares import of_tile
from .tiles import Blend, Tiles
from .upscaler import Upscaler


def carry_out(model: Model, request: Request, plan: Plan, listener: Listener) -> Image.Image:
    """Return the finished picture of a plan.

    Args:
        model: The loaded model.
        request: A request for one picture.
        plan: What to do; see `Plan`.
        listener: Receives one count of steps over all passes and tiles.

    Raises:
        SDError: The request cannot be painted. Libraries' own errors pass through.
    """
    if plan.unchanged is not None:
        return plan.unchanged.copy()
    if plan.small is not None:
        return _enlarged_first(model, request, plan, listener)
    if plan.refine is None:
        return _one_pass(model, request, plan, listener)
    second = replace(plan.refine.with_prompts(request.prompts), seed=request.seed)
    spans = _spans(listener,
                   [request.steps,
                    sum(_enlarging_steps(second, (request.width, request.height), model, plan.upscaler))])
    first = _one_pass(model, request, plan, spans[0])
    return carry_out(model, second, plan.passed_on(refining.plan(first, None, second, model.multiple)), spans[1])


def pipes(model: Model, request: Request, plan: Plan) -> list[Any]:
    """Return the pipelines that the passes of a request need, that of the first pass first.

    Raises:
        InvalidRequest: The model's family has none.
    """
    first = _first_pipe(model, request, plan)
    return [first] if plan.refine is None else [first, model.pipe(plan.refine.task.name)]


def _first_pipe(model: Model, request: Request, plan: Plan) -> Any:
    """Return the pipeline for the plan's task; where regions are kept, one that inpaints round them if there is one."""
    nets = plan.controls.nets
    if plan.repaint is not None and not model.family.refusal(
            INPAINT, type(nets[0]).__name__ if nets else None, plan.reference is not None):
        return model.pipe(INPAINT, nets)
    return model.pipe(request.task.name, nets)


def _one_pass(model: Model, request: Request, plan: Plan, listener: Listener) -> Image.Image:
    pipe = _first_pipe(model, request, plan)
    if plan.tiles is None:
        return paint(model, pipe, request if plan.tiling is None else replace(request, tiling=plan.tiling), plan,
                     listener)
    tiles, blend = plan.tiles, Blend(plan.tiles)
    listeners = _spans(listener, [1] * len(tiles.places))
    whole = _WholePreview(Image.fromarray(plan.source), plan.source.shape[1::-1], listener.preview_px)
    for number, (place, part_listener) in enumerate(zip(tiles.places, listeners, strict=True)):
        # Each tile has a seed of its own: the same noise everywhere would show as a pattern.
        part_request = replace(request, seed=(request.seed + number) % (MAX_SEED + 1), tiling=tiles.tiling)
        part = plan.passed_on(Plan({**plan.arguments, "image": tiles.cut(plan.source, place)}, tiles.size,
                                   layout=of_tile(plan.layout, tiles, place)))
        blend.add(paint(model, pipe, part_request, part, whole.around(part_listener, tiles, place)), place)
    return plan.finish(blend.picture())


def _enlarged_first(model: Model, request: Request, plan: Plan, listener: Listener) -> Image.Image:
    """Return the upscaler's picture, refined if the plan says so."""
    spans = _spans(listener, _enlarging_steps(request, plan.small.size, model, plan.upscaler))
    whole = _WholePreview(plan.small, (request.width, request.height), listener.preview_px)
    large = enlarging.enlarge(plan.small, request, plan.upscaler, spans[0], whole.with_tile)
    return carry_out(model, request, plan.passed_on(plan.refined(large)), spans[1])


def _enlarging_steps(request: Request, source: tuple[int, int], model: Model, upscaler: Upscaler | None) -> list[int]:
    """Return the number of the upscaler's pieces, and of the refining's steps after it."""
    return [enlarging.count(source, request, upscaler) if upscaler is not None else 0,
            refining.steps(request, model.multiple)]


def _spans(listener: Listener, weights: Sequence[int]) -> list[Listener]:
    """Return a listener for each part of the work. Each counts as large a share of `listener`'s steps as its weight
    says.
    """
    return [_span(listener, sum(weights[:index]), weight, sum(weights)) for index, weight in enumerate(weights)]


def _span(listener: Listener, before: int, weight: int, whole: int) -> Listener:
    def step(done: int, steps: int, preview: np.ndarray | None) -> None:
        scale = max(1, round(steps / weight)) if weight else 1  # a part with finer steps makes the whole count finer
        listener.step(before * scale + round(done * weight * scale / steps), whole * scale, preview)

    return replace(listener, step=step)


class _WholePreview:
    """Previews of a picture that is painted tile by tile: each tile in its place on the source."""

    def __init__(self, source: Image.Image, size: tuple[int, int], longest: int) -> None:
        """Start with `source`, shrunk.

        Args:
            source: The picture that the tiles are painted over.
            size: (width, height) of the finished picture.
            longest: Longest side of the previews in pixels; 0 for none.
        """
        self._scale = min(1.0, longest / max(size)) if longest > 0 else 0.0
        if self._scale:
            self._shown = np.array(source.resize([max(1, int(side * self._scale)) for side in size],
                                                 Image.Resampling.BOX))

    def around(self, listener: Listener, tiles: Tiles, place: tuple[int, int]) -> Listener:
        """Return a listener for the tile at `place` that passes previews of the whole picture on to `listener`."""

        def step(done: int, steps: int, preview: np.ndarray | None) -> None:
            listener.step(done, steps, None if preview is None else self.with_tile(tiles, preview, place))

        return replace(listener, step=step)

    def with_tile(self, tiles: Tiles, preview: np.ndarray, place: tuple[int, int]) -> np.ndarray | None:
        """Return the whole picture (h×w×3 uint8) in which the tile at `place` looks like `preview`."""
        if not self._scale:
            return None
        rows, columns = (self._positions(axis.places(start), side, length) for axis, start, side, length in (
            (tiles.y, place[1], preview.shape[0], self._shown.shape[0]), (tiles.x, place[0], preview.shape[1],
                                                                          self._shown.shape[1])))
        self._shown[np.ix_(rows[1], columns[1])] = preview[np.ix_(rows[0], columns[0])]
        return self._shown.copy()

    def _positions(self, places: np.ndarray, side: int, length: int) -> tuple[np.ndarray, np.ndarray]:
        """Return which of the preview's `side` pixels goes to which of the shown picture's `length` pixels, along one
        axis.
        """
        shown, first = np.unique(np.minimum((places * self._scale).astype(int), length - 1), return_index=True)
        return first * side // len(places), shown
