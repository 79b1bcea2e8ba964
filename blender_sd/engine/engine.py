"""The engine: orders in, pictures and events out. Runs in a process of its own (`process`), or in any thread."""
from __future__ import annotations

import dataclasses
import logging
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..protocol import blocked, policy
from ..protocol import request as defaults
from ..protocol.checkpoints import STARTER_FOLDER
from ..protocol.errors import InvalidRequest, JobCancelled, OutOfMemory, OutputUnwritable, SDError, WordBlocked
from ..protocol.messages import Cancelled, EngineConfig, Event, Failed, Finished, Generate, Loading, Note, Ready, Result, Source, Step
from ..protocol.origin import ORIGIN_KEY
from ..protocol.png import PARAMETERS_KEY, REQUEST_KEY, parameters_text
from ..protocol.request import IMAGE_TO_IMAGE, INPAINT, MAKE_SEAMLESS, MAX_SEED, OUTPAINT, TEXT_TO_IMAGE, UPSCALE, Request
from ..protocol.rungs import FULL, RUNGS, TILES
from . import controls, devices, embeddings, ladder, loras, memory, output, provenance, quiet, reference, safety, speed
from .credentials import Credentials
from .loader import Loader
from .models import Library, Model
from .painting import Listener, notes_before
from .passes import carry_out, pipes
from .sheet import WITHHELD, Sheet
from .tasks import TASKS
from .tasks.plan import NOTHING, Plan
from .upscalers import Upscaler, Upscalers

log = logging.getLogger(__name__)
STARTER = Path(STARTER_FOLDER)
Emit = Callable[[Event], None]
Cancel = Callable[[], bool]


class Engine:
    """Stable Diffusion on this machine; `protocol.messages.Pipeline`.

    `Engine(config, **overrides)`: overrides are fields of `EngineConfig`, such as `device="cpu"`. One order at a time
    is carried out, whoever asks; loaded models stay until the memory budget or `close` takes them.
    """

    def __init__(self, config: EngineConfig | None = None, **overrides: Any) -> None:
        self._config = dataclasses.replace(config or EngineConfig(), **overrides)
        self._busy = threading.RLock()
        self._loader: Loader | None = None
        self._upscalers: Upscalers | None = None
        self._filters: safety.Filters | None = None
        self._ready: Ready | None = None
        self._credentials = Credentials(self._config)

    # ---- the pipeline that a session drives ------------------------------------------------------------------------

    def warm(self) -> Ready:
        """Chooses device, precision and threads. Idempotent. Raises InvalidRequest for a device this machine lacks."""
        with self._busy:
            if self._ready is None:
                quiet.hush_libraries()
                speed.check(self._config)
                device = devices.choose(self._config)
                devices.set_threads(self._config.threads)
                self._loader = Loader(Library(device, devices.budget_bytes(device, self._config.memory_mb),
                                               _memory_use(self._config.memory_use)))
                self._upscalers = Upscalers(self._loader)
                self._filters = safety.Filters(device.torch)
                self._ready = Ready(str(device.torch), device.usual_precision(), quiet.versions())
            return self._ready

    def prepare(self) -> None:
        """Does ahead what the first picture would wait for: imports the usual families' code and loads the starter
        model, where there is one."""
        with self._busy:
            self.warm()
            quiet.import_families()
            if STARTER.is_dir():
                try:
                    self._load("starter")
                except SDError as error:
                    log.warning("the starter model was not loaded ahead: %s", error)

    def run(self, order: Generate, emit: Emit, cancelled: Cancel) -> None:
        """Carries out one order. Emits `Loading` while a model is read, `Note`s, a `Step` 0 when all is ready, a `Step`
        per step of each picture, and at last exactly one of Finished, Cancelled, Failed. Pictures that were finished
        before a cancel or failure stay on disk."""
        try:
            with self._busy:
                ending: Event = Finished(order.job, _sheet_first(order.request, tuple(self._written(order, emit, cancelled))))
        except JobCancelled:
            ending = Cancelled(order.job)
        except Exception as error:
            blocked_word = isinstance(error, WordBlocked)  # whose text, as all of the prompt, is for no log
            log.info("job %s failed%s", order.job, ": a blocked word" if blocked_word else "", exc_info=None if blocked_word else error)
            ending = Failed.of(order.job, memory.translated(error))
            self._release()
        emit(ending)

    def close(self) -> None:
        """Frees all models. The engine can be used again; it then loads them anew. Idempotent."""
        with self._busy:
            if self._loader is not None:
                self._loader.close()
            self._loader = self._upscalers = self._filters = self._ready = None

    # ---- the same as PIL images, with no session and no Blender ----------------------------------------------------

    def generate(self, prompt: str, *, negative: str = "", seed: int | None = None, steps: int = defaults.default("steps"),
                 guidance: float = defaults.default("guidance"), size: tuple[int, int] | None = None,
                 sampler: str = defaults.default("sampler"), model: str = "starter", count: int = 1, tiling: str = "none",
                 on_event: Emit | None = None) -> list[Image.Image]:
        """Text → `count` RGB images of `size` (width, height; None: what the model was trained for). `seed` None is a
        random one. `image.info["blender_sd"]` holds each picture's whole request. Raises SDError."""
        width, height = size or self._load(model).default_size
        request = Request(TEXT_TO_IMAGE, prompt, negative, model, width, height, steps, guidance, sampler, _seed(seed), count=count,
                          tiling=tiling)
        return self._pictures(request, {}, on_event)

    def restyle(self, image: Image.Image | np.ndarray, prompt: str, *, strength: float = 0.5, negative: str = "",
                seed: int | None = None, steps: int = defaults.default("steps"), guidance: float = defaults.default("guidance"),
                size: tuple[int, int] | None = None, sampler: str = defaults.default("sampler"), model: str = "starter",
                count: int = 1, tiling: str = "none", on_event: Emit | None = None) -> list[Image.Image]:
        """Image → `count` images at `strength` (0 returns the source's pixels). `image`: a PIL image, or H×W×3|4 uint8
        with row 0 on top; sRGB, straight alpha, which the results keep. `size` None: the source's own. Raises SDError."""
        source = Source(pixels=_pixels(image))
        height, width = source.pixels.shape[:2]
        width, height = size or (width, height)
        request = Request(IMAGE_TO_IMAGE, prompt, negative, model, width, height, steps, guidance, sampler, _seed(seed), count=count,
                          tiling=tiling, strength=strength, source=source.digest())
        return self._pictures(request, {"source": source}, on_event)

    def upscale(self, image: Image.Image | np.ndarray, prompt: str = "", *, scale: float = 2.0,
                strength: float = defaults.default("refine_strength"), tile: int | None = None, on_event: Emit | None = None,
                **settings: Any) -> Image.Image:
        """`image` (as for `restyle`) `scale` times as large, refined at `strength` in tiles of `tile` pixels (None: the size
        that the model was trained for). `settings`: other fields of `Request`. Raises SDError."""
        source = Source(pixels=_pixels(image))
        height, width = (round(side * scale) for side in source.pixels.shape[:2])
        return self._from_image(UPSCALE, source, prompt, on_event, {**settings, "width": width, "height": height, "strength": strength,
                                                                    "tile": tile})[0]

    def inpaint(self, image: Image.Image | np.ndarray, mask: Image.Image | np.ndarray, prompt: str, *, strength: float = 1.0,
                on_event: Emit | None = None, **settings: Any) -> list[Image.Image]:
        """`image` with what is white in `mask` (H×W or H×W×3|4 uint8, or a PIL image) painted anew at `strength`; every other
        pixel stays as it was. `settings`: other fields of `Request`, such as `mask_feather`, `count`. Raises SDError."""
        inputs = {"mask": Source(pixels=_pixels(mask))}
        return self._from_image(INPAINT, Source(pixels=_pixels(image)), prompt, on_event, {**settings, "strength": strength}, inputs)

    def outpaint(self, image: Image.Image | np.ndarray, prompt: str, *, left: int = 0, right: int = 0, top: int = 0, bottom: int = 0,
                 overlap: int = 8, strength: float = 1.0, on_event: Emit | None = None, **settings: Any) -> list[Image.Image]:
        """`image` with so many pixels painted beyond each border. `overlap` pixels inside are painted over, blended into the
        rest. `settings`: other fields of `Request`. Raises SDError."""
        source = Source(pixels=_pixels(image))
        height, width = source.pixels.shape[:2]
        margins = {"expand_left": left, "expand_right": right, "expand_top": top, "expand_bottom": bottom}
        return self._from_image(OUTPAINT, source, prompt, on_event, {
            **settings, **margins, "width": width + left + right, "height": height + top + bottom, "strength": strength,
            "mask_grow": overlap, "mask_feather": overlap})

    def make_seamless(self, image: Image.Image | np.ndarray, prompt: str = "", *, tiling: str = "xy", strength: float = 0.75,
                      on_event: Emit | None = None, **settings: Any) -> list[Image.Image]:
        """`image` with a band across its border painted anew, so that it repeats along `tiling`. `settings`: other fields of
        `Request`, such as `band`. Raises SDError."""
        return self._from_image(MAKE_SEAMLESS, Source(pixels=_pixels(image)), prompt, on_event,
                                {**settings, "strength": strength, "tiling": tiling})

    def _from_image(self, task: str, source: Source, prompt: str, on_event: Emit | None, settings: dict[str, Any],
                    inputs: dict[str, Source] | None = None) -> list[Image.Image]:
        """The pictures of a task over `source`, of whose size they are where `settings` does not say otherwise."""
        inputs = {"source": source, **(inputs or {})}
        model = settings.setdefault("model", "starter")
        settings["seed"] = _seed(settings.get("seed"))
        settings["tile"] = settings.get("tile") or self._load(model).default_size[0]
        settings.setdefault("width", source.pixels.shape[1])
        settings.setdefault("height", source.pixels.shape[0])
        request = Request(task=task, prompt=prompt, **settings)
        return self._pictures(request.with_inputs({role: one.digest() for role, one in inputs.items()}), inputs, on_event)

    # ---- one order -------------------------------------------------------------------------------------------------

    def _pictures(self, request: Request, inputs: dict[str, Source], on_event: Emit | None) -> list[Image.Image]:
        order = Generate("", request, _folder(request.model), "", inputs)
        pictures = []
        with self._busy:
            try:
                for single, image, model in self._painted(order, on_event or (lambda event: None), lambda: False):
                    origin = provenance.finished(provenance.origin_of(model, single), image)
                    image.info.update({REQUEST_KEY: single.to_json(), PARAMETERS_KEY: parameters_text(single, model.name),
                                       ORIGIN_KEY: origin.to_json()})
                    pictures.append(image)
            except Exception as error:
                self._release()
                raise memory.translated(error) from error
        return list(_sheet_first(order.request, pictures))

    def _written(self, order: Generate, emit: Emit, cancelled: Cancel) -> Iterator[Result]:
        """Each picture's `Result`, once it is on disk; with its pixels where the order names no output folder, or that cannot be
        written any more."""

        def note(text: str) -> None:
            emit(Note(order.job, text))

        folder = Path(order.output) if order.output else None
        marking = self._config.marking or policy.current().marking
        if folder is not None:
            output.check_folder(folder)
            if marking:
                self._credentials.ready(note)
        for index, (request, image, model) in enumerate(self._painted(order, emit, cancelled), start=1):
            if folder is None:
                yield Result("", request, image.width, image.height, _pixels(image))
                continue
            if index == 1:
                origin = provenance.origin_of(model, order.request)
                for role, digest in request.inputs.items():
                    if role in order.inputs:
                        self._keep_input(order, role, digest, folder, note)
            made = provenance.finished(origin, image)
            seal = self._credentials.seal(request, order.inputs, made, note) if marking else None
            try:
                path = str(output.save(image, folder, order.job, index, request, made, marking, seal))
            except OutputUnwritable as error:  # the folder was fine before the painting, which may have taken long
                note(f"{error.message}. What could not be written is in the open file alone: save that, or the image.")
                yield Result("", request, image.width, image.height, _pixels(image))
            else:
                yield Result(path, request, image.width, image.height)

    def _keep_input(self, order: Generate, role: str, digest: str, folder: Path, note: Callable[[str], None]) -> None:
        try:
            output.save_input(order.inputs[role], digest, folder)
        except OutputUnwritable as error:  # no reason to throw the picture away
            note(f"{error.message}. No copy of the {role} image was kept, so the picture cannot be repeated from its settings alone.")

    def _painted(self, order: Generate, emit: Emit, cancelled: Cancel) -> Iterator[tuple[Request, Image.Image, Model]]:
        """Each picture of the order with its own request; after those of a grid, the contact sheet with the order's. Everything
        that can be refused is, before the first is begun. What the safety filter withholds is not among them."""

        def check() -> None:
            if cancelled():
                raise JobCancelled("The job was cancelled.")

        guard, model, plans = self._prepared(order, emit, cancelled, check)
        sheet = Sheet(order.request) if order.request.axes else None
        for index in range(order.request.pictures):
            check()
            single = order.request.single(index)
            cell = index // order.request.count
            listener = self._listener(order, index + 1, emit, check, 0 if guard else self._config.preview_px)
            image, plans[cell] = self._carried_out(model, single, plans[cell], listener)
            check()
            passed = guard.passes(image)
            if passed:
                yield single, image, model
            if sheet is not None:
                sheet.add(image if passed else Image.new("RGB", image.size, WITHHELD))
        if text := guard.summary():
            emit(Note(order.job, text))
        if sheet is not None:
            made = sheet.picture()
            if guard:
                made.info[safety.FILTER_KEY] = guard.name
            yield order.request, made, model

    def _prepared(self, order: Generate, emit: Emit, cancelled: Cancel,
                  check: Callable[[], None]) -> tuple[safety.Guard, Model, list[Plan]]:
        """What looks at the finished pictures, the model with all that is put on it, and the plan of each cell."""

        def say(text: str) -> None:
            emit(Loading(order.job, text))

        check()
        rules = policy.current()
        rules.check_order(order.request, order.folder, order.borrowed, blocked.read_list(self._config.blocked_words))
        self.warm()
        filters = safety.wanted(rules, self._config) if safety.is_needed(order.request, order.folder) else ()
        guard = self._filters.guard(filters, order.request.pictures, say)  # first: the ladder of memory must know what it takes
        check()
        upscaler = self._upscaler(order.request, say, cancelled)
        model = self._loader.get(order.folder, say, cancelled, order.borrowed)
        check()
        for text in speed.set_up(model, self._config):
            emit(Note(order.job, text))
        loras.put_on(model, order.request.loras, say, check)
        embeddings.put_on(model, order.request.embeddings, say, check)
        steering = controls.steering(model, order.request, order.inputs, say, check)
        seen = reference.put_on(model, order.request, order.inputs, steering.nets, say, check)
        plans = [dataclasses.replace(self._planned(model, order.request.cell(index), order.inputs, steering), reference=seen,
                                     upscaler=upscaler)
                 for index in range(order.request.cells)]
        if model.rung not in (FULL, TILES):
            emit(Note(order.job, f"Memory is short. {RUNGS[model.rung].text}."))
        if any(plan.lean for plan in plans):
            emit(Note(order.job, f"Memory is short. {RUNGS[TILES].text}."))
        notes = (text for number, plan in enumerate(plans) for text in (
            *plan.notes, *steering.notes, *self._notes(model, order.request.single(number * order.request.count), plan)))
        for text in dict.fromkeys(notes):
            emit(Note(order.job, text))
        if any(plan.unchanged is None for plan in plans):  # loading is over: whoever cancels now has to wait for a step
            emit(Step(order.job, 0, order.request.single(0).steps, 1, order.request.pictures))
        return guard, model, plans

    def _planned(self, model: Model, request: Request, inputs: dict[str, Source], steering: controls.Steering) -> Plan:
        """The plan of one cell, known to fit into memory."""
        if model.family.edits and request.task == IMAGE_TO_IMAGE and request.strength > 0:
            request = dataclasses.replace(request, strength=1.0)  # it has no other
        plan = dataclasses.replace(TASKS[request.task].prepare(request, inputs, model.multiple), steering=steering)
        if plan.size == NOTHING:
            return plan
        pipe, *_ = pipes(model, request, plan)
        if plan.unchanged is not None:
            return plan
        sizes = [plan.size, *([(plan.refine.tile, plan.refine.tile)] if plan.refine is not None else [])]
        lean = [self._has_to_be_lean(model, pipe, size) for size in sizes]
        return dataclasses.replace(plan, lean=any(lean) or model.rung == TILES and ladder.can_tile(model))

    def _carried_out(self, model: Model, request: Request, plan: Plan, listener: Listener) -> tuple[Image.Image, Plan]:
        """The picture, and the plan that was followed: where memory runs out it is tried again with less, rung by rung; where
        something fails, without what makes the model faster."""
        while True:
            try:
                return carry_out(model, request, plan, listener), plan
            except Exception as error:
                if not memory.is_out_of_memory(error):
                    text = "" if isinstance(error, JobCancelled) else speed.off(model)
                    if not text:
                        raise
                    log.warning("painting failed", exc_info=error)
                    listener.note(text)
                    continue
                log.warning("memory ran out while painting", exc_info=error)
                failed = error.with_traceback(None)  # its frames would keep the picture's tensors alive
            self._release()
            if not plan.lean and ladder.can_tile(model):
                plan, text = dataclasses.replace(plan, lean=True), RUNGS[TILES].text
            else:
                text = ladder.lower(model)
            if not text:
                if model.lowered:  # in vain: the next, perhaps smaller picture begins with the model as it was
                    self._loader.library.drop(model)
                raise failed
            listener.note(f"Memory ran out; the picture is begun again. {text}.")

    def _notes(self, model: Model, request: Request, plan: Plan) -> list[str]:
        return [] if plan.unchanged is not None or plan.size == NOTHING else notes_before(model, pipes(model, request, plan)[0], request)

    def _listener(self, order: Generate, number: int, emit: Emit, check: Callable[[], None], preview_px: int) -> Listener:
        def step(done: int, steps: int, preview: np.ndarray | None) -> None:
            emit(Step(order.job, done, steps, number, order.request.pictures, preview))

        return Listener(check, step, lambda text: emit(Note(order.job, text)), preview_px)

    def _upscaler(self, request: Request, say: Callable[[str], None], cancelled: Cancel) -> Upscaler | None:
        """The upscaler that the request's pictures go through. Loaded before the model, which then finds what memory is left."""
        return self._upscalers.get(request.upscaler, say, cancelled) if provenance.uses_upscaler(request) else None

    def _load(self, model: str) -> Model:
        with self._busy:
            policy.current().check_model(_folder(model))
            self.warm()
            return self._loader.get(_folder(model), lambda text: None, lambda: False)

    def _has_to_be_lean(self, model: Model, pipe: Any, size: tuple[int, int]) -> bool:
        """Whether a picture fits only if its VAE works in tiles. Raises OutOfMemory where it does not fit at all."""
        try:
            memory.check_picture(model.device, pipe, *size)
        except OutOfMemory:
            self._loader.library.drop_others(model)
            try:
                memory.check_picture(model.device, pipe, *size)
            except OutOfMemory:
                memory.check_picture(model.device, pipe, *size, lean=ladder.can_tile(model))
                return True
        return False

    def _release(self) -> None:
        if self._loader is not None:
            self._loader.library.device.release()


def _memory_use(name: str) -> str:
    if name != "auto" and name not in RUNGS:
        raise InvalidRequest(f"There is no way of using memory called '{name:.40}'.", f"Choose auto or one of: {', '.join(RUNGS)}.")
    return name


def _sheet_first(request: Request, results: Sequence[Any]) -> Sequence[Any]:
    """A grid's contact sheet, made last, is what a person wants to see first."""
    return (results[-1], *results[:-1]) if request.axes else results


def _folder(model: str) -> str:
    return str(STARTER) if model == "starter" else model


def _seed(seed: int | None) -> int:
    return random.SystemRandom().randint(0, MAX_SEED) if seed is None else seed


def _pixels(image: Image.Image | np.ndarray) -> np.ndarray:
    """H×W×4 uint8, the form in which sources travel."""
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    return np.array(image.convert("RGBA"))
