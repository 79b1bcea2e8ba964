"""Paint one picture: the pipeline's call with a fresh scheduler, wrapped padding, a guarded VAE and step callbacks."""
from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from ...core import prompt_steps
from ...core.errors import InvalidRequest
from ...core.families import Family
from ...core.request import Request
from ...core.tasks import ImageToImage
from ...core.samplers import SAMPLERS
from ...protocol.messages import text_of
from ..conditioning import changing_prompts, prompts, weighting
from ..memory import acceleration
from ..models.cache import Model
from . import samplers
from .holding import Hold
from .latent_rolling import Rolling, rolled
from .noise import varied
from .plan import Plan
from .previews import Preview
from .regional import Regional
from .tiling import circular
from .vae_guard import guarded_vae
from .vae_tiles import tiled

if TYPE_CHECKING:  # it needs scipy, which takes a while to import
    from .many_views import Together

_MILLION = 1024 * 1024  # pixels; smaller pictures are meant for the text encoder


@dataclass(frozen=True)
class Listener:
    """Receive the progress of a picture.

    Attributes:
        check: Raises to cancel the picture; called often.
        step: Called with (step, steps, preview); `step` counts from 1, `preview` is h×w×3 uint8 sRGB, row 0 on top, or
            None.
        note: Called with texts for the artist.
        preview_px: Longest side of previews in pixels; 0 for none.
    """

    check: Callable[[], None]
    step: Callable[[int, int, np.ndarray | None], None]
    note: Callable[[str], None]
    preview_px: int


def notes_before(model: Model, pipe: Any, request: Request) -> list[str]:
    """Return what the artist should know about a request before it is painted."""
    texts = [(label, text) for label, prompt in prompts.labelled(request)
             for text in prompt_steps.readings(prompt, request.steps)]
    notes = [weighting.note(pipe, *(text for _, text in texts))]
    if not weighting.fits(pipe):  # otherwise prompts of any length are read
        notes += [prompts.note(pipe, prompt_steps.plain(text), label) for label, text in texts]
    if not (model.family.own_sampler and request.sampler == model.family.sampler):  # that name means the model's own
        notes.append(samplers.build(model.own_scheduler, request.sampler, request.steps, request.seed)[1])
    if request.tiling != "none" and model.is_transformer:
        notes.append("This model's family does not wrap around by itself; a faint seam may remain.")
    family = model.family
    if family.edits and isinstance(request.task, ImageToImage):
        notes.append("This model edits by instruction: strength has no effect.")
    if request.negative and not family.negative:
        notes.append("This model reads no negative prompt.")
    if request.clip_skip > 1 and not family.clip_skip:
        notes.append("This model's text encoders are always read in its own way: Clip Skip has no effect.")
    if request.guidance > 1 and not family.guides:
        notes.append("This model takes no guidance: its value has no effect.")
    return [text for text in notes if text]


def paint(model: Model, pipe: Any, request: Request, plan: Plan, listener: Listener) -> Image.Image:
    """Paint one picture. The pipeline is left exactly as it was, also if `check` raises.

    Args:
        model: The loaded model.
        pipe: Its pipeline for the request's task.
        request: A request for one picture.
        plan: The plan of the picture or of one tile.
        listener: Receives progress and notes.

    Returns:
        The finished picture, RGB or RGBA.

    Raises:
        InvalidRequest: The pipeline refuses the settings.
        JobCancelled: `listener.check` raised it. Libraries' own errors pass through.
    """
    return plan.finish(_painted(model, pipe, request, plan, listener)[0])


def paint_views(model: Model, pipe: Any, request: Request, plan: Plan, listener: Listener, together: Together,
                preview: Callable[[Any, torch.Tensor], None]) -> list[Image.Image]:
    """Paint all views of an object in one call of the pipeline, as `paint` does one picture.

    Args:
        model, pipe, request, plan, listener: As for `paint`; the request's prompt is replaced by each view's own.
        together: The views.
        preview: Called with the pipeline and the predicted clean latents after each step.
    """
    return together.agreed(_painted(model, pipe, request, plan, listener, together, preview), listener.check)


def _painted(model: Model, pipe: Any, request: Request, plan: Plan, listener: Listener,
             together: Together | None = None, preview: Any = None) -> list[Image.Image]:
    progress = _Progress(model, pipe, plan.size, listener)
    known = inspect.signature(pipe.__call__).parameters
    grid = _grid(pipe, plan.size)
    regional = Regional(model, pipe, request, plan, grid)

    def arguments(step: int, steps: int, prompt: str = request.prompt) -> dict[str, Any]:
        texts = [prompt_steps.at_step(text, step, steps) for text in (prompt, request.negative)]
        joined = [prompt_steps.at_step(text, step, steps) for text in regional.joined]
        return _arguments(pipe, known, request, plan, progress, model.family, *texts, joined, regional,
                          together is not None and bool(together.turning))

    def call_at(step: int, steps: int) -> dict[str, Any]:
        if together is None:
            return arguments(step, steps)
        return together.arguments(lambda own: arguments(step, steps, own))

    previous = pipe.scheduler
    with ExitStack() as stack:
        stack.callback(setattr, pipe, "scheduler", previous)
        stack.enter_context(torch.random.fork_rng(devices=[]))
        torch.manual_seed(request.seed)  # SD 3 encodes its control picture with torch's global generator
        pipe.scheduler, _ = samplers.build(model.own_scheduler, request.sampler, request.steps, request.seed)
        stack.enter_context(at_its_size(pipe, plan.size))
        variation = request.variation_seed, request.variation_strength
        if together is None:
            stack.enter_context(varied(pipe, *variation))
        else:
            stack.enter_context(together.painted_by(model, pipe, plan.controls.nets, request.seed, variation, preview,
                                                    listener.check))
        stack.enter_context(circular((*_wrapping_parts(model, plan.tiled_vae), *plan.controls.nets), request.tiling))
        progress.between_steps.append(stack.enter_context(plan.controls.limited_to_spans(known, request.steps)))
        rolling = None
        if request.tiling != "none" and model.is_transformer:
            rolling = Rolling(request.tiling, grid, request.seed)
            stack.enter_context(rolled(model.denoiser, rolling, plan.controls.nets))
            progress.between_steps.append(rolling.next_step)
        stack.enter_context(acceleration.within(model))
        stack.enter_context(tiled(getattr(model.base, "vae", None), plan.tiled_vae, model.vae_scale))
        stack.enter_context(guarded_vae(model, listener.check, progress.decoded,
                                        request.tiling if plan.tiled_vae else "none"))
        if "callback_on_step_end" not in known and isinstance(model.denoiser, torch.nn.Module):
            handle = model.denoiser.register_forward_pre_hook(lambda *_: listener.check())
            stack.callback(handle.remove)
        listener.check()
        try:
            stack.enter_context(regional.applied(arguments, rolling))
            progress.hold = regional.hold
            call = stack.enter_context(changing_prompts.words(pipe, (model.denoiser, *plan.controls.nets), request,
                                                              call_at))
            output = pipe(**call)
        except ValueError as error:
            raise InvalidRequest(f"The model refuses these settings: {error}",
                                 "Try another sampler, size or number of steps.",
                                 text_of(error)) from error
    if any(getattr(output, "nsfw_content_detected", None) or ()):
        listener.note("The model's safety checker blanked this picture.")
    return output.images


@contextmanager
def at_its_size(pipe: Any, size: tuple[int, int]) -> Iterator[None]:
    """Return a context in which Qwen-Image-Edit sees the source at `size` (width, height), also while inpainting.

    Its pipelines would scale the source to a million pixels.
    """
    module = sys.modules[type(pipe).__module__]
    original = getattr(module, "calculate_dimensions", None)

    def calculate(area: int, aspect: float) -> tuple:
        dimensions = original(area, aspect)
        return dimensions if area < _MILLION else (*size, *dimensions[2:])

    if original is not None:
        module.calculate_dimensions = calculate
    try:
        yield
    finally:
        if original is not None:
            module.calculate_dimensions = original


def _grid(pipe: Any, size: tuple[int, int]) -> tuple[int, int]:
    """Return rows and columns of the transformer's input for a picture of `size` (width, height): latents, or 2×2
    tokens.
    """
    pixels = int(pipe.vae_scale_factor) * (2 if hasattr(pipe, "_pack_latents") else 1)
    return size[1] // pixels, size[0] // pixels


def _wrapping_parts(model: Model, tiled_vae: bool) -> list[torch.nn.Module]:
    """Return the parts whose convolutions wrap. A VAE in tiles wraps in another way (`vae_tiles.round_border`)."""
    parts = (getattr(model.base, name, None) for name in (("unet",) if tiled_vae else ("unet", "vae")))
    return [part for part in parts if isinstance(part, torch.nn.Module)]


def _arguments(pipe: Any, known: Mapping[str, inspect.Parameter], request: Request, plan: Plan, progress: _Progress,
               family: Family, prompt: str, negative: str, joined: Sequence[str],
               regional: Regional, embedded: bool = False) -> dict[str, Any]:
    """Return the arguments of the pipeline's call, as far as this family's pipeline knows them.

    `prompt` and `negative` are the request's prompts at some step, `joined` those of regions that are read with it.
    `embedded`: whether the prompts' embeddings are wanted wherever they can be given.
    """
    width, height = plan.size
    wanted: dict[str, Any] = {
        "prompt": prompt_steps.plain(prompt),
        "num_inference_steps": request.steps,
        "guidance_scale": request.guidance if request.guidance > 1 else min(request.guidance, family.unguided),
        "eta": SAMPLERS[request.sampler].eta,
        "generator": torch.Generator("cpu").manual_seed(request.seed),  # the CPU's: the same noise on every device
        "callback_on_step_end": progress.step_done,
        # Paint, and see the source, at the requested size, not at the nearest one that the model was trained on.
        "use_resolution_binning": False, "max_area": width * height, "_auto_resize": False,
        **plan.arguments,
        **plan.controls.arguments(known, plan.fit),
        **(plan.reference.arguments(request.guidance > 1) if plan.reference is not None else {}),
    }
    if negative:  # SDXL treats a missing negative prompt and an empty one differently
        wanted["negative_prompt"] = prompt_steps.plain(negative)
    true_guidance = known.get("true_cfg_scale")
    if true_guidance is not None and isinstance(true_guidance.default, (int, float)) and true_guidance.default > 1:
        wanted["true_cfg_scale"] = request.guidance  # Qwen-Image: this is the CFG scale, not guidance_scale
        wanted.setdefault("negative_prompt", " ")  # without a negative prompt it would be ignored
        del wanted["guidance_scale"]
    if request.steps != 2 and "intermediate_timesteps" in known:
        wanted["intermediate_timesteps"] = None  # SANA-Sprint's scheduler takes them only with two steps
    skipped = request.clip_skip - 1 if family.clip_skip else 0
    if weighting.fits(pipe) and (skipped or joined or embedded or weighting.wanted(pipe, prompt, negative)):
        del wanted["prompt"]
        wanted.pop("negative_prompt", None)
        wanted |= regional.words(prompt, negative, skipped, joined)
    return {name: value for name, value in wanted.items() if name in known}


class _Progress:
    """Turn a pipeline's callbacks into steps as artists count them, with a preview now and then."""

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
        self.hold: Hold | None = None

    def step_done(self, pipe: Any, index: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        """Report a step; diffusers' `callback_on_step_end`.

        Second-order samplers call it twice for each step of the artist's.
        """
        self._listener.check()
        for call in self.between_steps:
            call()
        held = {}
        if self.hold is not None and "latents" in tensors:
            held["latents"] = tensors["latents"] = self.hold(index, tensors["latents"])
        self._latents = tensors.get("latents")
        order = max(1, getattr(pipe.scheduler, "order", 1))
        total = getattr(pipe, "num_timesteps", None) or len(pipe.scheduler.timesteps)
        if (index + 1) % order == 0 or index + 1 == total:
            self._listener.step(-(-(index + 1) // order), -(-total // order), self._picture())
        return held

    def decoded(self, picture: torch.Tensor) -> None:
        """Let the previews learn from the VAE's finished picture."""
        if self._latents is not None and self._listener.preview_px > 0:
            self._preview.learn(self._pipe, self._latents, picture, self._size)

    def _picture(self) -> np.ndarray | None:
        if self._listener.preview_px <= 0 or self._latents is None or not self._preview.due():
            return None
        return self._preview.picture(self._pipe, self._latents, self._size, self._listener.preview_px)
