"""Paint an object from every side: all views in one batch that agree at every step, or one after another.

Models that edit by instruction and models that only inpaint work view by view: each next view shows what the finished
ones have painted of it, and only what is new is painted.
"""
from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..core import part_prompts
from ..core.errors import InvalidRequest, SDError
from ..core.families import Family
from ..core.request import Request
from ..core.tasks import (
    IMAGE_TO_IMAGE,
    INPAINT,
    TEXT_TO_IMAGE,
    ImageToImage,
    Inpaint,
    Task,
    TextToImage,
    Upscale,
)
from ..geometry import memory
from ..geometry.agreement import Links, carried, link
from ..library.model_paths import Resolved
from ..library.policy import Policy
from ..protocol.messages import EngineConfig, Source
from ..protocol.picture_arrays import pixels_of
from ..protocol.surfaces import Lens
from .conditioning import controlnets
from .denoise import many_views
from .denoise.many_views import Together
from .denoise.painting import Listener
from .denoise.passes import pipes
from .denoise.plan import Plan
from .denoise.previews import SHARE
from .job import Job
from .memory import budget, devices
from .models import embeddings
from .models.cache import Model
from .painter import Painter
from .tasks.texture_object import MeshPreview, Stage

log = logging.getLogger(__name__)
_EVERY = 0.5  # least seconds between previews on the mesh
_TO_INPAINT = 0.98  # of a view: if this much is known already, nothing is painted
_SEVERAL = ("Flux2KleinPipeline", "QwenImageEditPlusPipeline")  # take several references
_GROWN = 8  # pixels by which what is painted grows into what is known


@dataclass(frozen=True)
class PaintedViews:
    """The finished views, RGB, with their cameras, the model that painted them, and whether they show the same where
    they overlap."""

    stage: Stage
    pictures: list[Image.Image]
    lenses: tuple[Lens, ...]
    model: Model
    agreed: bool


class ObjectPainter:
    """Paint the views of one job."""

    def __init__(self, painter: Painter, job: Job, resolved: Resolved, rules: Policy, config: EngineConfig) -> None:
        self.painter, self.job, self.resolved, self.rules, self.config = painter, job, resolved, rules, config

    def paint(self) -> PaintedViews:
        """Return the finished views.

        Raises:
            SDError: The request cannot be painted, or was cancelled. Libraries' own errors pass through.
        """
        message, request = self.resolved.message, self.resolved.request.single(0)
        model = self.painter.loader.get(message.folder, self.job.loading, self.job.cancelled, message.base_model,
                                        request.choices)
        self.job.check()
        self.job.loading("Looking at the objects")
        stage = Stage(message.scenery, request, message.inputs, model.multiple, self.job.cancelled)
        width, height = stage.size
        memory.check(stage.sheets, len(stage.views) * width * height, len(message.scenery.triangles.triangles),
                     devices.free_ram())
        paint, agreed = self._together, True
        if model.family.edits or TEXT_TO_IMAGE not in model.family.pipelines:
            self.job.note(f"{model.family.name} models paint one view after another: {len(stage.views)} pictures.")
            paint, agreed = self._in_turn, False
            if request.task.strength < 1 and INPAINT not in model.family.pipelines:
                self.job.note(f"{model.family.name} models edit by instruction: Strength has no effect.")
            if any(control.weight for control in request.controls):
                raise InvalidRequest(f"Controls do not work where {model.family.name} models paint objects.",
                                     "Take them out, or choose another model.")
        pictures = paint(model, stage, request)
        if request.task.paint_unseen and INPAINT not in model.family.pipelines:
            self.job.note(f"{model.family.name} models cannot inpaint: what no view sees takes what is round it.")
        if request.task.texture_refine and not model.family.strength:
            self.job.note(f"{model.family.name} models cannot refine textures: they stay as they are baked.")
        for prompt, textures in part_prompts.read(request.task.parts):
            own = paint(model, stage, request.changed(prompt=prompt))
            pictures = [stage.put_together(number, one, other, textures)
                        for number, (one, other) in enumerate(zip(pictures, own))]
        lenses = stage.lenses()
        if request.task.mirror:
            pictures, lenses = stage.mirrored(pictures)
        return PaintedViews(stage, pictures, lenses, model, agreed)

    # ---- all at once -----------------------------------------------------------------------------------------------

    def _together(self, model: Model, stage: Stage, request: Request) -> list[Image.Image]:
        over = request.task.strength < 1 or stage.masked
        pictures = stage.textured() if over else []
        plain = request.changed(task=ImageToImage(strength=request.task.strength) if over else TextToImage(),
                                width=stage.size[0], height=stage.size[1], tiling="none", axes=(), count=1)
        controls = [stage.controls(control.kind) for control in request.controls if control.weight]
        inputs = {"source": _source(pictures[0])} if over else {}
        inputs |= {f"control{number}": _source(each[0]) for number, each in enumerate(controls)}
        plain = replace(plain, controls=tuple(control for control in plain.controls if control.weight))
        guard, model, plan, plain = self._prepared(plain, inputs)
        if plan.unchanged is not None:
            return pictures
        controls = [tuple(self._read(plain, number, each)) for number, each in enumerate(controls)]
        pipe, *_ = pipes(model, plain, plan)
        fits = budget.views_at_once(model.device, pipe, *stage.size, len(stage.views))
        batch = min(request.task.batch or fits, fits)
        if batch < len(stage.views):
            self.job.note(f"The model sees {batch} of {len(stage.views)} views at a time"
                          + ("." if request.task.batch else ", because memory is short."))
        scale = model.vae_scale
        words = [_worded(plain.prompt, word, request.task.view_words) for word in stage.words]
        cancelled = self.job.cancelled
        group = Together(
            tuple(words), many_views.links_of(stage.surface, stage.views, scale, cancelled), self._pixel_links(stage),
            tuple(pictures), _kept(stage.masks(), scale) if stage.masked else None, tuple(controls),
            request.task.share, batch)
        shown = _Shown(self.job, model, MeshPreview(stage, scale), self.config.preview_px if not guard else 0)
        listener = Listener(self.job.check, shown.step, self.job.note, 0)
        results = self.painter.views_carried_out(
            self.job, model, pipe, plain, plan, listener, group,
            lambda batch: f"Memory ran out; the views start again, {batch} at a time.", shown.take)
        return self._passed(guard, results)

    def _pixel_links(self, stage: Stage) -> Links | None:
        """Return which pixels see the same points, if there is memory for it."""
        if len(stage.views) < 2:
            return None
        count, (width, height) = len(stage.views), stage.size
        if not memory.links_fit(count, width, height, devices.free_ram()):
            self.job.note(f"Memory is short for {count} views of {width} × {height}: they agree less in detail. "
                          "Smaller views agree fully.")
            return None
        return link(stage.surface, stage.views, self.job.cancelled, most=3, between=True, sights=stage.sights)

    def _read(self, request: Request, number: int, pictures: tuple[Image.Image, ...]) -> list[Image.Image]:
        """Return what a ControlNet reads of each view."""
        alone = replace(request, controls=(request.controls[number],))
        return [next(controlnets.pictures(alone, {"control0": _source(picture)}))[0] for picture in pictures]

    # ---- one after another -----------------------------------------------------------------------------------------

    def _in_turn(self, model: Model, stage: Stage, request: Request) -> list[Image.Image]:
        finished: dict[int, np.ndarray] = {}
        before = [np.asarray(picture, np.float32) for picture in stage.textured()]
        masks = stage.masks() if stage.masked else None
        for number in range(len(stage.views)):
            self.job.check()
            shown, known = carried(stage.surface, stage.sights, number, finished)
            new = ~known if masks is None else ~known & masks[number]
            start = np.where(known[..., None], shown, before[number])
            finished[number] = self._next(stage, request, number, start, new, finished)
            self.job.step(number + 1, len(stage.views), 1, None)
        return [Image.fromarray(finished[number].astype(np.uint8)) for number in range(len(stage.views))]

    def _next(self, stage: Stage, request: Request, number: int, start: np.ndarray, new: np.ndarray,
              finished: dict[int, np.ndarray]) -> np.ndarray:
        """Return a view, H×W×3 uint8: `start`, and what is `new` painted."""
        begun = np.rint(start).astype(np.uint8)
        inside = np.zeros(new.size, bool)
        inside[stage.sights[number].pixel] = True
        if not (new.ravel() & inside).any() or (~new.ravel())[inside].mean() > _TO_INPAINT:
            return begun
        prompt = _worded(request.prompt, stage.words[number], request.task.view_words)
        family = self._family(request)
        mask = np.repeat(np.where(new, np.uint8(255), np.uint8(0))[..., None], 3, 2)
        strength = request.task.strength
        if INPAINT in family.pipelines and (finished or strength < 1 or TEXT_TO_IMAGE not in family.pipelines):
            task: Any = Inpaint(strength=strength, grow=_GROWN, feather=0)
        elif not finished and TEXT_TO_IMAGE in family.pipelines and strength >= 1 and not stage.masked:
            task = TextToImage()
        else:
            task = ImageToImage(strength=1.0)
        plain = request.changed(task=task, prompt=prompt, width=stage.size[0], height=stage.size[1], tiling="none",
                                axes=(), count=1, controls=())
        inputs = {"source": _source(Image.fromarray(begun)), "mask": _source(Image.fromarray(mask))}
        guard, model, plan, plain = self._prepared(plain, inputs)
        if plan.unchanged is not None:
            return begun
        if task.name == IMAGE_TO_IMAGE and finished and type(pipes(model, plain, plan)[0]).__name__ in _SEVERAL:
            front = Image.fromarray(finished[0].astype(np.uint8))
            plan = replace(plan, arguments={**plan.arguments, "image": [plan.arguments["image"], front]})
        listener = Listener(self.job.check, lambda *_: None, self.job.note, 0)
        picture, _ = self.painter.carried_out(model, plain, plan, listener)
        made = np.asarray(self._passed(guard, [picture])[0].convert("RGB"))
        return np.where(new[..., None], made, begun)

    # ---- the finished textures -------------------------------------------------------------------------------------

    def repaint(self, number: int, picture: np.ndarray, unseen: np.ndarray) -> np.ndarray | None:
        """Return a finished texture with what no view saw inpainted, and refined; None to leave it as it is.

        Args:
            number: Of the texture.
            picture: H×W×3 uint8, row 0 on top.
            unseen: H×W bool.
        """
        request, result = self.resolved.request.single(0), picture
        task, family = request.task, self._family(request)
        side = max(64, min(request.width, request.height))
        if task.paint_unseen and unseen.any() and INPAINT in family.pipelines:
            mask = np.repeat(np.where(unseen, np.uint8(255), np.uint8(0))[..., None], 3, 2)
            result = self._repainted(request, Inpaint(full_res=True, tile=side), result, mask)
        if task.texture_refine and family.strength:
            result = self._repainted(request, Upscale(strength=task.texture_refine, tile=side), result)
        return None if result is picture else result

    def _repainted(self, request: Request, task: Task, picture: np.ndarray, mask: np.ndarray | None = None
                   ) -> np.ndarray:
        inputs = {"source": _source(Image.fromarray(picture))}
        if mask is not None:
            inputs["mask"] = _source(Image.fromarray(mask))
        plain = request.changed(task=task, width=picture.shape[1], height=picture.shape[0], tiling="none", axes=(),
                                count=1, controls=())
        guard, model, plan, plain = self._prepared(plain, inputs)
        if plan.unchanged is not None:
            return picture
        finished, _ = self.painter.carried_out(model, plain, plan, Listener(
            self.job.check, lambda *_: None, self.job.note, 0))
        return np.asarray(self._passed(guard, [finished])[0])

    # ---- both ------------------------------------------------------------------------------------------------------

    def _family(self, request: Request) -> Family:
        message = self.resolved.message
        return self.painter.loader.get(message.folder, lambda text: None, self.job.cancelled, message.base_model,
                                       request.choices).family

    def _prepared(self, plain: Request, inputs: dict[str, Source]) -> tuple[Any, Model, Plan, Request]:
        """Return the safety guard, the model with everything added to it, the plan and the request of one picture."""
        message = replace(self.resolved.message, request=plain, inputs={**self.resolved.message.inputs, **inputs})
        job = replace(self.job, message=replace(self.job.message, request=plain))
        guard, model, (plan,) = self.painter.prepared(job, replace(self.resolved, message=message), self.rules,
                                                       self.config)
        worded = embeddings.apply(model, plain, job.loading, job.check)
        return guard, model, plan, replace(plain, prompt=worded.prompt, negative=worded.negative)

    def _passed(self, guard: Any, pictures: list[Image.Image]) -> list[Image.Image]:
        for picture in pictures:
            if not guard.passes(picture):
                raise SDError("The safety filter withheld a view, so no texture was made.",
                              "Change the prompt, or paint with another seed.")
        return [picture.convert("RGB") for picture in pictures]


class _Shown:
    """Report steps, with the texture so far now and then."""

    def __init__(self, job: Job, model: Model, preview: MeshPreview, longest: int) -> None:
        self._job, self._model, self._preview, self._longest = job, model, preview, longest
        self._next, self._picture = 0.0, None

    def take(self, pipe: Any, x0: torch.Tensor) -> None:
        """Keep what the views show by now."""
        started = time.monotonic()
        if not self._longest or started < self._next:
            return
        height, width = x0.shape[-2:]
        size = (width * self._model.vae_scale, height * self._model.vae_scale)
        small = [self._model.preview.picture(pipe, view[None], size, max(width, height)) for view in x0]
        if all(one is not None and one.shape[:2] == (height, width) for one in small):
            self._picture = self._preview.picture(np.stack(small))
        now = time.monotonic()
        self._next = now + max(_EVERY, (now - started) / SHARE)

    def step(self, done: int, steps: int, _picture: np.ndarray | None) -> None:
        """Report a step."""
        self._job.step(done, steps, 1, self._picture)
        self._picture = None


def _worded(prompt: str, side: str, named: bool) -> str:
    return ", ".join(filter(None, (prompt, side if named else "")))


def _kept(masks: list[np.ndarray], scale: int) -> torch.Tensor:
    """Return where latents keep what was there, V×1×h×w float32: everywhere no pixel is repainted."""
    values = torch.from_numpy(np.stack(masks).astype(np.float32))[:, None]
    return 1 - torch.nn.functional.max_pool2d(values, scale)


def _source(picture: Image.Image) -> Source:
    return Source(pixels=pixels_of(picture))
