"""Paint frames of a shot with a model: several in one batch that agrees, or one by one."""
from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..core.errors import SDError
from ..core.request import Request
from ..core.tasks import IMAGE_TO_IMAGE, ImageToImage
from ..geometry import motion
from ..library.model_paths import Resolved
from ..library.policy import Policy
from ..protocol import shots
from ..protocol.messages import EngineConfig, Source, Step
from ..protocol.picture_arrays import pixels_of
from .conditioning import controlnets, regions, sources
from .denoise.agreeing import AttachedNoise
from .denoise.many_views import Together
from .denoise.painting import Listener
from .denoise.passes import pipes
from .denoise.plan import Plan
from .job import Job
from .memory import budget
from .models import embeddings
from .models.cache import Model
from .painter import Painter
from .tasks import keeping
from .tasks.restyle_sequence import Stage

log = logging.getLogger(__name__)
_UNTIL = 0.4  # of the steps: blending makes soft, and what differs between keyframes later has one owner anyway
_SEVERAL = ("Flux2KleinPipeline", "QwenImageEditPlusPipeline")  # take several references
_SHARP = 40.0  # the power of quality in the weights of the last step that is blended


class Brush:
    """Paint frames of one job.

    Attributes:
        done, total: How many of how many frames are finished, for progress.
    """

    def __init__(self, painter: Painter, job: Job, resolved: Resolved, rules: Policy, config: EngineConfig,
                 stage: Stage) -> None:
        self.painter, self.job, self.resolved, self.rules, self.config = painter, job, resolved, rules, config
        self.stage = stage
        self.done, self.total = 0, len(stage.wanted)

    def came(self, frame: int) -> np.ndarray:
        """Return a frame as it came in, H×W×3 uint8."""
        return self.stage.source(frame)[0].astype(np.uint8)

    def painted(self, frames: Sequence[int], bases: Sequence[np.ndarray], known: Sequence[np.ndarray | None]
                 ) -> list[np.ndarray]:
        """Return frames painted over `bases`, H×W×3 uint8 each, where they are not `known`."""
        requests = [self.stage.settings(frame) for frame in frames]
        if self._agrees(requests[0]):
            return self._together(frames, bases, known, [request.task.strength for request in requests])
        results: list[np.ndarray] = []
        for frame, base, keep in zip(frames, bases, known):
            new = self.alone(frame, base, results[:1])
            results.append(new if keep is None else np.where(keep[..., None], base, new))
        return results

    def free(self, frame: int, base: np.ndarray, new: np.ndarray | None, strength: float) -> np.ndarray:
        """Return a frame painted over `base`, H×W×3 uint8; only where it is `new`, if that is given."""
        if self._agrees(self.stage.settings(frame)):
            return self._together([frame], [base], [None if new is None else ~new], [strength])[0]
        return self.alone(frame, base, strength=strength)

    def _agrees(self, request: Request) -> bool:
        """Return whether the model can paint several frames together."""
        family = self.loaded().family
        return not family.edits and IMAGE_TO_IMAGE in family.pipelines and not request.regions

    def loaded(self) -> Model:
        """Return the model, loaded if it is not yet. Raise SDError."""
        message = self.resolved.message
        return self.painter.loader.get(message.folder, self.job.loading, self.job.cancelled, message.base_model,
                                       self.resolved.request.choices)

    def alone(self, frame: int, base: np.ndarray, references: Sequence[np.ndarray] = (),
               strength: float | None = None) -> np.ndarray:
        """Return a frame painted by itself over `base`, as image to image paints it."""
        request = self.stage.settings(frame)
        task = ImageToImage(strength=request.task.strength if strength is None else strength)
        plain = request.changed(task=task, tiling="none", axes=(), count=1)
        guard, model, plan, plain = self._prepared(plain, frame, {"source": _source(base)})
        image = plan.arguments.get("image")
        if references and image is not None and type(pipes(model, plain, plan)[0]).__name__ in _SEVERAL:
            front = Image.fromarray(references[0])
            plan = replace(plan, arguments={**plan.arguments, "image": [image, front]})
        picture, _ = self.painter.carried_out(model, plain, plan, self._listener())
        return self._passed(guard, frame, picture)

    def _together(self, frames: Sequence[int], bases: Sequence[np.ndarray], known: Sequence[np.ndarray | None],
                  strengths: Sequence[float]) -> list[np.ndarray]:
        """Return frames painted in one batch that agrees wherever they show the same points."""
        request = self.stage.settings(frames[0])
        steps = [int(request.steps * strength) for strength in strengths]
        if not max(steps):
            return list(bases)
        plain = request.changed(task=ImageToImage(strength=max(strengths)), tiling="none", axes=(), count=1)
        plain = replace(plain, controls=tuple(control for control in plain.controls if control.weight))
        guard, model, plan, plain = self._prepared(plain, frames[0], {"source": _source(bases[0])})
        pipe, *_ = pipes(model, plain, plan)
        scale, (width, height) = model.vae_scale, plan.size
        moments = self.stage.latent_moments(frames, scale, (width // scale, height // scale))
        fits = budget.views_at_once(model.device, pipe, width, height, len(frames))
        cells = self.stage.cells(frames, moments)
        keep = [np.zeros(base.shape[:2], bool) if part is None else part for base, part in zip(bases, known)]
        group = Together(
            prompts=tuple(self._worded(model, self.stage.words(frame)[0]) for frame in frames),
            links=motion.linked(moments, cancelled=self.job.cancelled), pixel_links=None, sharp=_SHARP,
            pictures=tuple(plan.fit(Image.fromarray(base)) for base in bases),
            keep=_kept(keep, scale, (width, height)) if any(part.any() for part in keep) else None,
            controls=self._controls(plain, plan, frames), share=self.job.request.task.share,
            batch=min(self.job.request.task.batch or fits, fits),
            noise=None if cells is None else AttachedNoise(cells, height // scale, width // scale),
            begins=tuple(1 - own / max(steps) for own in steps) if len(set(steps)) > 1 else (),
            turning=self._turning(model, frames), until=_UNTIL)
        pictures = self.painter.views_carried_out(
            self.job, model, pipe, plain, plan, self._listener(), group,
            lambda batch: f"Memory ran out; the keyframes start again, {batch} at a time.")
        return [self._passed(guard, frame, picture.crop((0, 0, *self.stage.size))) if own else base
                for frame, picture, base, own in zip(frames, pictures, bases, steps)]

    def _worded(self, model: Model, text: str) -> str:
        request = self.stage.request.changed(prompt=text)
        return embeddings.apply(model, request, self.job.loading, self.job.check).prompt

    def _turning(self, model: Model, frames: Sequence[int]) -> tuple[tuple[str, float], ...]:
        """Return for each frame the prompt that its own turns into, and how far; () if none does."""
        words = [self.stage.words(frame) for frame in frames]
        if not any(share for *_, share in words):
            return ()
        return tuple((self._worded(model, after), share) for _, after, share in words)

    def _controls(self, request: Request, plan: Plan, frames: Sequence[int]) -> tuple[tuple[Image.Image, ...], ...]:
        """Return for each ControlNet what it reads of each frame."""
        each = []
        for number, control in enumerate(self.stage.request.controls):
            if control.weight:
                alone = replace(request, controls=(control,))
                each.append(tuple(plan.fit(next(controlnets.pictures(alone, {
                    "control0": self._control(number, frame)}))[0]) for frame in frames))
        return tuple(each)

    def _control(self, number: int, frame: int) -> Source:
        """Return the picture of a frame for a ControlNet: its own, the one for all frames, or the frame itself."""
        data = self.stage.shot.picture(f"{shots.CONTROLS}/{number}", frame)
        if data is not None:
            return Source(encoded=data)
        return self.job.message.inputs.get(f"control{number}") or _source(self.came(frame))

    def with_kept(self, frame: int, picture: np.ndarray) -> np.ndarray:
        """Return a finished frame, H×W×3 float32 from 0 to 255, in which kept regions are as they came in."""
        request = self.stage.settings(frame)
        if not any(region.keep for region in request.regions):
            return picture
        canvas = tuple(-(-side // regions.CELL) * regions.CELL for side in self.stage.size)
        layout = regions.lay_out(request, self._regions(frame), self.stage.size, canvas)
        layout = keeping.within_alpha(layout, self.stage.source(frame)[1])
        if layout.kept is None:
            return picture
        over = keeping.over(Image.fromarray(self.came(frame)), Image.fromarray(as_bytes(picture)), layout)
        return np.asarray(over, np.float32)

    def _regions(self, frame: int) -> dict[str, Source]:
        return {f"region{number}": source for number in range(len(self.stage.request.regions))
                if (source := self._region(number, frame)) is not None}

    def _region(self, number: int, frame: int) -> Source | None:
        """Return where a region lies in a frame, as far as it counts there."""
        data = self.stage.shot.picture(f"{shots.REGIONS}/{number}", frame)
        source = Source(encoded=data) if data is not None else self.job.message.inputs.get(f"region{number}")
        weight = self.stage.region_weights(frame)[number]
        if source is None or weight == 1:
            return source
        grey = np.asarray(sources.open_source(source)[0].convert("L"), np.float32) * weight
        return _source(np.repeat(as_bytes(grey)[..., None], 3, 2))

    def _prepared(self, plain: Request, frame: int, inputs: dict[str, Source]) -> tuple[Any, Model, Plan, Request]:
        """Return the safety guard, the model with everything added to it, the plan and the request of one picture."""
        inputs |= {f"control{number}": self._control(number, frame) for number in range(len(plain.controls))}
        inputs |= self._regions(frame)
        message = replace(self.resolved.message, request=plain, inputs={**self.resolved.message.inputs, **inputs})
        notes: set[str] = set()

        def emit(event: Any) -> None:  # each note once, and no step 0 in the middle of a shot
            if not isinstance(event, Step) and getattr(event, "text", None) not in notes:
                notes.add(getattr(event, "text", ""))
                self.job.emit(event)

        job = replace(self.job, message=replace(self.job.message, request=plain), emit=emit)
        guard, model, (plan,) = self.painter.prepared(job, replace(self.resolved, message=message),
                                                      self.rules, self.config)
        worded = embeddings.apply(model, plain, job.loading, job.check)
        return guard, model, plan, replace(plain, prompt=worded.prompt, negative=worded.negative)

    def _listener(self) -> Listener:
        def step(done: int, steps: int, _preview: np.ndarray | None) -> None:
            self.job.emit(Step(self.job.message.job, done, steps, min(self.done + 1, self.total), self.total))

        return Listener(self.job.check, step, self.job.note, 0)

    def _passed(self, guard: Any, frame: int, picture: Image.Image) -> np.ndarray:
        if not guard.passes(picture):
            raise SDError(f"The safety filter withheld frame {frame}, so the sequence stops there.",
                          "Change the prompt, or paint with another seed.")
        return np.asarray(picture.convert("RGB"), np.uint8)


def _kept(masks: Sequence[np.ndarray], scale: int, size: tuple[int, int]) -> torch.Tensor:
    """Return where latents keep what was there, V×1×h×w float32: everywhere no pixel is to be painted."""
    height, width = masks[0].shape
    padded = [np.pad(mask, ((0, size[1] - height), (0, size[0] - width)), mode="edge") for mask in masks]
    values = torch.from_numpy(np.stack(padded).astype(np.float32))[:, None]
    return 1 - torch.nn.functional.max_pool2d(1 - values, scale)


def as_bytes(values: np.ndarray) -> np.ndarray:
    """Return values from 0 to 255 as uint8."""
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)


def _source(picture: np.ndarray) -> Source:
    return Source(pixels=pixels_of(picture))
