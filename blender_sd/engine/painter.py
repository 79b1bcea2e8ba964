"""Paint one request: load the model and everything added to it, plan its pictures, retry with less memory."""
from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image

from ..core import blocked_words, prompt_steps
from ..core.errors import InvalidRequest, JobCancelled, OutOfMemory
from ..core.memory_modes import FULL, MEMORY_MODES, TILES
from ..core.names import suggestion
from ..core.request import Request
from ..core.roles import PICTURE, SHEET
from ..core.tasks import ImageToImage
from ..library import policy
from ..library.model_paths import Resolved
from ..library.policy import Policy
from ..protocol import framing
from ..protocol.messages import EngineConfig, Source
from .conditioning import controlnets, reference
from .conditioning.prompts import labelled
from .denoise.many_views import Preview, Together
from .denoise.painting import Listener, notes_before, paint_views
from .denoise import regional
from .denoise.passes import carry_out, pipes
from .denoise.plan import NOTHING, Plan
from .denoise.upscalers import Upscaler, Upscalers
from .job import Job
from .memory import acceleration, budget, devices, memory_modes
from .memory.devices import Device
from .models import embeddings, loras
from .models.cache import Library, Model
from .models.loader import Loader
from .output import safety_filter
from .output.contact_sheet import WITHHELD, Sheet
from .tasks import preparation

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Painted:
    """A finished picture: its own request, the image, the model that painted it, and its role (`core.roles`)."""

    request: Request
    image: Image.Image
    model: Model
    role: str = PICTURE


def check_allowed(resolved: Resolved, config: EngineConfig) -> Policy:
    """Return the policy in force, once it has allowed a request.

    Raises:
        PolicyForbids: The studio's policy does not allow the request.
        WordBlocked: The prompt holds a blocked word.
        ModelNotFound: A model or file of the request is missing.
        InvalidRequest: The results would be too large to send.
    """
    message, rules = resolved.message, policy.current()
    rules.check_request(message.request, message.folder, message.base_model,
                        blocked_words.read_list(config.blocked_words))
    if resolved.missing is not None:
        raise resolved.missing
    framing.check_answer(message.request, message.output)
    return rules


class Painter:
    """Paint requests, one at a time, with models that stay loaded. Not thread-safe.

    Attributes:
        loader: The loaded models.
        upscalers: The loaded upscalers.
        filters: The loaded safety filters.
    """

    def __init__(self, device: Device, config: EngineConfig) -> None:
        budget = devices.budget_bytes(device, config.memory_mb, config.engines, ":" in config.device)
        self.loader = Loader(Library(device, budget, _memory_use(config.memory_use)))
        self.upscalers = Upscalers(self.loader)
        self.filters = safety_filter.Filters(device.torch)

    def paint(self, job: Job, resolved: Resolved, rules: Policy,
              config: EngineConfig) -> Iterator[Painted]:
        """Yield each picture of a job; after those of a grid, the contact sheet.

        Everything that can be refused is refused before the first picture. Pictures that the safety filter withholds
        are left out.

        Args:
            job: The job.
            resolved: Its message with real paths.
            rules: The policy in force, see `check_allowed`.
            config: The engine's settings.

        Yields:
            The pictures; the contact sheet's request is the job's.

        Raises:
            SDError: The request cannot be painted, or was cancelled. Libraries' own errors pass through.
        """
        guard, model, plans = self.prepared(job, resolved, rules, config)
        sheet = Sheet(job.request) if job.request.axes else None
        for index in range(job.request.pictures):
            job.check()
            single = job.request.single(index)
            cell = index // job.request.count
            real = resolved.request.single(index)
            if index:
                self._apply_loras(job, model, real)
            worded = embeddings.apply(model, real, job.loading, job.check)
            painted = single.with_prompts(worded.prompts)
            listener = job.listener(index + 1, 0 if guard else config.preview_px)
            image, plans[cell] = self.carried_out(model, painted, plans[cell], listener)
            job.check()
            passed = guard.passes(image)
            if passed:
                yield Painted(single, image, model)
            if sheet is not None:
                sheet.add(image if passed else Image.new("RGB", image.size, WITHHELD))
        if text := guard.summary():
            job.note(text)
        if sheet is not None:
            picture = sheet.picture()
            if guard:
                picture.info[safety_filter.FILTER_KEY] = guard.name
            yield Painted(job.request, picture, model, SHEET)

    def load(self, folder: str) -> Model:
        """Return the model in `folder`, a real path, loaded if necessary. Raises SDError."""
        return self.loader.get(folder, lambda text: None, lambda: False)

    def release(self) -> None:
        """Return memory that torch keeps cached to the device."""
        self.loader.library.device.release()

    def close(self) -> None:
        """Free all models."""
        self.loader.close()

    def prepared(self, job: Job, resolved: Resolved, rules: Policy,
                  config: EngineConfig) -> tuple[safety_filter.Guard, Model, list[Plan]]:
        """Return the check of finished pictures, the model with everything added to it, and the plan of each cell."""
        message = resolved.message
        request = message.request
        filters = safety_filter.wanted(rules, config) if safety_filter.is_needed(request, message.folder) else ()
        # Filters and upscaler first: the model's memory mode depends on the memory that they leave.
        guard = self.filters.guard(filters, request.pictures, job.loading)
        job.check()
        upscaler = self._upscaler(job, request)
        model = self.loader.get(message.folder, job.loading, job.cancelled, message.base_model, request.choices)
        for text in model.notes:
            job.note(text)
        job.check()
        for text in acceleration.enable(model, config):
            job.note(text)
        self._apply_loras(job, model, request.single(0))
        embeddings.apply(model, request.single(0), job.loading, job.check)
        controls = controlnets.load(model, request, message.inputs, job.loading, job.check)
        picture = reference.apply(model, request, message.inputs, controls.nets, job.loading, job.check)
        plans = [replace(self._planned(model, request.cell(index), message.inputs, controls), reference=picture,
                         upscaler=upscaler) for index in range(request.cells)]
        for text in dict.fromkeys(_notes(model, request, plans, controls)):
            job.note(text)
        if any(plan.unchanged is None for plan in plans):  # loading is over: from now on a cancel waits for a step
            job.step(0, request.single(0).steps, 1)
        return guard, model, plans

    def _upscaler(self, job: Job, request: Request) -> Upscaler | None:
        return self.upscalers.get(request.upscaler, job.loading, job.cancelled) if request.upscaler else None

    def _apply_loras(self, job: Job, model: Model, single: Request) -> None:
        for note in loras.apply(model, single.loras, job.loading, job.check):
            job.note(note.text, note.lora)

    def _planned(self, model: Model, request: Request, inputs: dict[str, Source],
                 controls: controlnets.LoadedControls) -> Plan:
        """Return the plan of one cell. Raises OutOfMemory if it does not fit into memory."""
        if model.family.edits and isinstance(request.task, ImageToImage) and request.task.strength > 0:
            request = request.changed(strength=1.0)  # models that edit by instruction have no other strength
        plan = replace(preparation(request.task.name)(request, inputs, model.multiple), controls=controls)
        if plan.size == NOTHING:
            return plan
        pipe, *_ = pipes(model, request, plan)
        if plan.unchanged is not None:
            return plan
        sizes = [plan.size, *([(plan.refine.task.tile,) * 2] if plan.refine is not None else [])]
        tiled_vae = [self._needs_tiled_vae(model, pipe, size) for size in sizes]
        return replace(plan, tiled_vae=any(tiled_vae) or model.memory_mode == TILES and memory_modes.can_tile(model))

    def carried_out(self, model: Model, request: Request, plan: Plan, listener: Listener) -> tuple[Image.Image, Plan]:
        """Return the picture and the plan that was followed in the end.

        If memory runs out, the picture starts again in a mode that takes less; if something fails, without
        acceleration.
        """
        while True:
            try:
                return carry_out(model, request, plan, listener), plan
            except Exception as error:
                if not budget.is_out_of_memory(error):
                    text = "" if isinstance(error, JobCancelled) else acceleration.disable(model)
                    if not text:
                        raise
                    log.warning("painting failed", exc_info=error)
                    listener.note(text)
                    continue
                log.warning("memory ran out while painting", exc_info=error)
                failed = error.with_traceback(None)  # its frames would keep the picture's tensors alive
            self.release()
            if not plan.tiled_vae and memory_modes.can_tile(model):
                plan, text = replace(plan, tiled_vae=True), MEMORY_MODES[TILES].text
            else:
                text = memory_modes.lower(model)
            if not text:
                if model.lowered:  # in vain: the next picture, perhaps a smaller one, starts with the model as it was
                    self.loader.library.drop(model)
                raise failed
            listener.note(f"Memory ran out; the picture starts again. {text}.")

    def views_carried_out(self, job: Job, model: Model, pipe: Any, request: Request, plan: Plan, listener: Listener,
                          group: Together, again: Callable[[int], str], preview: Preview = lambda *_: None
                          ) -> list[Image.Image]:
        """Return views that are painted together. Where memory runs out, they start again in smaller batches; if
        something fails, without acceleration.

        Args:
            job: Hears what happens.
            model, pipe, request, plan, listener, group, preview: As for `paint_views`.
            again: Returns what the person reads where so many views at a time start again.
        """
        while True:
            try:
                return paint_views(model, pipe, request, plan, listener, group, preview)
            except Exception as error:
                if isinstance(error, JobCancelled):
                    raise
                if budget.is_out_of_memory(error) and group.batch > 1:
                    group = replace(group, batch=max(1, group.batch // 2))
                    text = again(group.batch)
                else:
                    text = "" if budget.is_out_of_memory(error) else acceleration.disable(model)
                    if not text:
                        raise
                log.warning("painting views failed", exc_info=error)
                del error
            self.release()
            job.note(text)

    def _needs_tiled_vae(self, model: Model, pipe: Any, size: tuple[int, int]) -> bool:
        """Return whether a picture fits only if its VAE works in tiles. Raises OutOfMemory if it never fits."""
        try:
            budget.check_picture(model.device, pipe, *size)
        except OutOfMemory:
            self.loader.library.drop_others(model)
            try:
                budget.check_picture(model.device, pipe, *size)
            except OutOfMemory:
                budget.check_picture(model.device, pipe, *size, tiled_vae=memory_modes.can_tile(model))
                return True
        return False


def _notes(model: Model, request: Request, plans: list[Plan], controls: controlnets.LoadedControls) -> Iterator[str]:
    """Yield what the artist should know before the pictures are painted."""
    if model.memory_mode not in (FULL, TILES):
        yield f"Memory is short. {MEMORY_MODES[model.memory_mode].text}."
    if any(plan.tiled_vae for plan in plans):
        yield f"Memory is short. {MEMORY_MODES[TILES].text}."
    for number, plan in enumerate(plans):
        yield from (*plan.notes, *controls.notes)
        if plan.unchanged is None and plan.size != NOTHING:
            single = request.single(number * request.count)
            pipe = pipes(model, single, plan)[0]
            yield from notes_before(model, pipe, single)
            yield from filter(None, (regional.note(model, pipe, single, plan),))
    for index in range(request.pictures):
        single = request.single(index)
        for label, prompt in labelled(single):
            if text := prompt_steps.note(prompt, label):
                yield text


def _memory_use(name: str) -> str:
    if name != "auto" and name not in MEMORY_MODES:
        raise InvalidRequest(f"There is no way of using memory called '{name:.40}'.",
                             suggestion(name, ("auto", *MEMORY_MODES)))
    return name
