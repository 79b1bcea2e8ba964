"""One picture: the pipeline's call with a fresh scheduler, wrapped padding, a watched VAE and a callback per step."""
from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..protocol import wording
from ..protocol.errors import InvalidRequest
from ..protocol.families import Family
from ..protocol.messages import text_of
from ..protocol.request import IMAGE_TO_IMAGE, Request
from ..protocol.samplers import SAMPLERS
from . import prompts, samplers, speed, weighting
from .guard import watched_vae
from .models import Model
from .noise import varied
from .previews import Preview
from .rolling import Rolling, rolled
from .tasks.plan import Plan
from .tiling import circular
from .vae_tiles import tiled


_MILLION = 1024 * 1024  # pixels; smaller pictures are for the text encoder


@dataclass(frozen=True)
class Listener:
    """Who hears of a picture's progress. `check` raises to break off; it is called often. `step(step, steps, preview)`
    counts from 1; `preview_px` 0 asks for no previews."""

    check: Callable[[], None]
    step: Callable[[int, int, np.ndarray | None], None]
    note: Callable[[str], None]
    preview_px: int


def notes_before(model: Model, pipe: Any, request: Request) -> list[str]:
    """What the artist should know of this order before it is painted."""
    texts = {"prompt": request.prompt, "negative prompt": request.negative}
    found = [weighting.note(pipe, *texts.values())]
    if not weighting.fits(pipe):  # where it fits, prompts of any length are read
        found += [prompts.note(pipe, wording.plain(text), label) for label, text in texts.items()]
    if not (model.family.own_sampler and request.sampler == model.family.sampler):  # which is what stands for its own
        found.append(samplers.build(model.own_scheduler, request.sampler, request.steps, request.seed)[1])
    if request.tiling != "none" and model.is_transformer:
        found.append("This model's family does not wrap around by itself; a faint seam may remain.")
    family = model.family
    if family.edits and request.task == IMAGE_TO_IMAGE:
        found.append("This model edits by instruction: strength has no effect.")
    if request.negative and not family.negative:
        found.append("This model reads no negative prompt.")
    if request.guidance > 1 and not family.guides:
        found.append("This model takes no guidance: its value has no effect.")
    return [text for text in found if text]


def paint(model: Model, pipe: Any, request: Request, plan: Plan, listener: Listener) -> Image.Image:
    """The picture of `request` (count 1) as RGB or RGBA. The pipeline is left exactly as it was, also when `check`
    raises. Raises SDError; libraries' own errors pass through."""
    progress = _Progress(model, pipe, plan.size, listener)
    known = inspect.signature(pipe.__call__).parameters
    arguments = _arguments(pipe, known, request, plan, progress, model.family)
    previous = pipe.scheduler
    with ExitStack() as stack:
        stack.callback(setattr, pipe, "scheduler", previous)
        stack.enter_context(torch.random.fork_rng(devices=[]))
        torch.manual_seed(request.seed)  # SD 3 reads its control picture with noise from the common generator
        pipe.scheduler, _ = samplers.build(model.own_scheduler, request.sampler, request.steps, request.seed)
        stack.enter_context(at_its_size(pipe, plan.size))
        stack.enter_context(varied(pipe, request.variation_seed, request.variation_strength))
        stack.enter_context(circular((*_wrapping(model, plan.lean), *plan.steering.nets), request.tiling))
        progress.between_steps.append(stack.enter_context(plan.steering.spanned(known, request.steps)))
        if request.tiling != "none" and model.is_transformer:
            rolling = Rolling(request.tiling, _grid(pipe, plan.size), request.seed)
            stack.enter_context(rolled(model.denoiser, rolling, plan.steering.nets))
            progress.between_steps.append(rolling.next_step)
        stack.enter_context(speed.within(model))
        stack.enter_context(tiled(getattr(model.base, "vae", None), plan.lean, model.vae_scale))
        stack.enter_context(watched_vae(model, listener.check, progress.decoded, request.tiling if plan.lean else "none"))
        if "callback_on_step_end" not in arguments and isinstance(model.denoiser, torch.nn.Module):
            handle = model.denoiser.register_forward_pre_hook(lambda *_: listener.check())
            stack.callback(handle.remove)
        listener.check()
        try:
            output = pipe(**arguments)
        except ValueError as error:
            raise InvalidRequest(f"The model refuses these settings: {error}", "Try another sampler, size or number of steps.",
                                 text_of(error)) from error
    if any(getattr(output, "nsfw_content_detected", None) or ()):
        listener.note("The model's safety checker blanked this picture.")
    return plan.finish(output.images[0])


@contextmanager
def at_its_size(pipe: Any, size: tuple[int, int]) -> Iterator[None]:
    """While it lasts, Qwen-Image-Edit's pipelines see the source, and inpaint, at `size` (width, height) and not at one of a
    million pixels."""
    module = sys.modules[type(pipe).__module__]
    chosen = getattr(module, "calculate_dimensions", None)

    def ours(area: int, aspect: float) -> tuple:
        found = chosen(area, aspect)
        return found if area < _MILLION else (*size, *found[2:])

    if chosen is not None:
        module.calculate_dimensions = ours
    try:
        yield
    finally:
        if chosen is not None:
            module.calculate_dimensions = chosen


def _grid(pipe: Any, size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of what the transformer sees of a picture of `size` (width, height): latents, or tokens of 2 × 2."""
    pixels = int(pipe.vae_scale_factor) * (2 if hasattr(pipe, "_pack_latents") else 1)
    return size[1] // pixels, size[0] // pixels


def _wrapping(model: Model, lean: bool) -> list[torch.nn.Module]:
    """The parts whose convolutions wrap; a VAE in tiles goes round the border otherwise."""
    parts = (getattr(model.base, name, None) for name in (("unet",) if lean else ("unet", "vae")))
    return [part for part in parts if isinstance(part, torch.nn.Module)]


def _arguments(pipe: Any, known: Mapping[str, inspect.Parameter], request: Request, plan: Plan, progress: _Progress,
               family: Family) -> dict[str, Any]:
    """The call's arguments, only those that this family's pipeline knows."""
    width, height = plan.size
    wanted: dict[str, Any] = {
        "prompt": wording.plain(request.prompt),
        "num_inference_steps": request.steps,
        "guidance_scale": request.guidance if request.guidance > 1 else min(request.guidance, family.unguided),
        "eta": SAMPLERS[request.sampler].eta,
        "generator": torch.Generator("cpu").manual_seed(request.seed),  # the CPU's, so that every device starts alike
        "callback_on_step_end": progress.step_done,
        # The picture is painted, and its source seen, at the size that was asked for, not at the nearest that was trained on.
        "use_resolution_binning": False, "max_area": width * height, "_auto_resize": False,
        **plan.arguments,
        **plan.steering.arguments(known, plan.fit),
        **(plan.reference.arguments(request.guidance > 1) if plan.reference is not None else {}),
    }
    if request.negative:  # SDXL treats a missing negative prompt otherwise than an empty one
        wanted["negative_prompt"] = wording.plain(request.negative)
    true_guidance = known.get("true_cfg_scale")
    if true_guidance is not None and isinstance(true_guidance.default, (int, float)) and true_guidance.default > 1:
        wanted["true_cfg_scale"] = request.guidance  # Qwen-Image: here this, not guidance_scale, is what artists mean
        wanted.setdefault("negative_prompt", " ")  # without one it would not be used
        del wanted["guidance_scale"]
    if request.steps != 2 and "intermediate_timesteps" in known:
        wanted["intermediate_timesteps"] = None  # SANA-Sprint's, which its scheduler knows for two steps alone
    if weighting.fits(pipe) and weighting.wanted(pipe, request.prompt, request.negative):
        del wanted["prompt"]
        wanted.pop("negative_prompt", None)
        wanted |= weighting.arguments(pipe, request.prompt, request.negative)
    return {name: value for name, value in wanted.items() if name in known}


class _Progress:
    """Turns a pipeline's callbacks into steps as artists count them, with previews now and then."""

    def __init__(self, model: Model, pipe: Any, size: tuple[int, int], listener: Listener) -> None:
        if model.preview is None:
            model.preview = Preview(model.base)
        self._preview: Preview = model.preview
        self._preview.begin()
        self._pipe = pipe
        self._size = size
        self._listener = listener
        self._latents: torch.Tensor | None = None
        self.between_steps: list[Callable[[], None]] = []

    def step_done(self, pipe: Any, index: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        """diffusers' `callback_on_step_end`. Second-order samplers call it twice a step; that is one step here."""
        self._listener.check()
        for call in self.between_steps:
            call()
        self._latents = tensors.get("latents")
        order = max(1, getattr(pipe.scheduler, "order", 1))
        total = getattr(pipe, "num_timesteps", None) or len(pipe.scheduler.timesteps)
        if (index + 1) % order == 0 or index + 1 == total:
            self._listener.step(-(-(index + 1) // order), -(-total // order), self._picture())
        return {}

    def decoded(self, picture: torch.Tensor) -> None:
        """The VAE's finished picture: the previews learn from it."""
        if self._latents is not None and self._listener.preview_px > 0:
            self._preview.learn(self._pipe, self._latents, picture, self._size)

    def _picture(self) -> np.ndarray | None:
        if self._listener.preview_px <= 0 or self._latents is None or not self._preview.due():
            return None
        return self._preview.picture(self._pipe, self._latents, self._size, self._listener.preview_px)
