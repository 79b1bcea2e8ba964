"""The engine: requests in, pictures and events out. It runs in a process of its own (`serve`), or in any thread."""
from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from ..core.errors import GeometryMissing, InvalidRequest, SDError, WordBlocked
from ..core.image_origin import COMPOSITE, ORIGIN_KEY, Origin
from ..core.request import Request
from ..core.roles import CONTROL, SHEET
from ..core.tasks import Bake, PbrMaps, RestyleSequence, TextureObject
from ..core.version import generator
from ..library import model_paths, policy
from ..library.content_digests import ContentDigests
from ..library.checkpoints import STARTER_FOLDER
from ..library.model_paths import Resolved
from ..core.webui_text import parameters_text
from ..library.png import PARAMETERS_KEY, REQUEST_KEY
from ..protocol import endings
from ..protocol.light import DEEP_KEY
from ..protocol.messages import (
    EngineConfig, Event, Finished, Generate, Ready, Result, Source, Unwrapped,
)
from ..protocol.picture_arrays import pixels_of
from ..protocol.pictures import sheet_first
from . import quiet
from .conditioning import controlnets
from .image_calls import ImageCalls
from .job import Cancel, Emit, Job
from .memory import acceleration, budget, devices
from .models.cache import Model
from .models.identity import Identity
from .output import image_origin, pictures as output_pictures
from .output.keeping import Keeper
from .painter import Painted, Painter, check_allowed

if TYPE_CHECKING:
    from ..geometry.bake import Repaint
    from .maps.material import Map
    from .object_painter import PaintedViews

log = logging.getLogger(__name__)
STARTER = Path(STARTER_FOLDER)
_PROJECTED = Bake(fill=False)  # how a picture that was just painted is baked


class Engine(ImageCalls):
    """Stable Diffusion on this machine; a `protocol.pipeline.Pipeline`.

    Requests are carried out one at a time, whatever threads they come from. Loaded models stay until the memory budget
    or `close` drops them. `image_calls` has the calls that return PIL images.
    """

    def __init__(self, config: EngineConfig | None = None, **overrides: Any) -> None:
        """Keep the settings; nothing is loaded yet.

        Args:
            config: The engine's settings.
            overrides: Fields of `EngineConfig` to change, such as `device="cpu"`.
        """
        self._config = replace(config or EngineConfig(), **overrides)
        self._busy = threading.RLock()
        self._painter: Painter | None = None
        self._ready: Ready | None = None
        self._keeper = Keeper(self._config)
        self._digests = ContentDigests(self._config.digests)

    # ---- the pipeline that a session drives --------------------------------------------------------------

    def warm(self) -> Ready:
        """Choose device, precision and threads. Idempotent.

        Raises:
            InvalidRequest: This machine lacks the device, or a setting is unknown.
        """
        with self._busy:
            if self._ready is None:
                quiet.hush_libraries()
                acceleration.check(self._config)
                device = devices.choose(self._config)
                devices.set_threads(self._config.threads, self._config.engines)
                self._painter = Painter(device, self._config)
                self._ready = Ready(str(device.torch), device.usual_precision(), quiet.versions(), device.card)
            return self._ready

    def prepare(self) -> None:
        """Do ahead what the first picture would wait for: import the usual families' code, load the starter model."""
        with self._busy:
            self.warm()
            quiet.import_families()
            if STARTER.is_dir():
                try:
                    self._load("starter")
                except SDError as error:
                    log.warning("the starter model was not loaded ahead: %s", error)

    def run(self, order: Generate, emit: Emit, cancelled: Cancel) -> None:
        """Carry out one request. Pictures that were finished before a cancel or failure stay on disk.

        Args:
            order: The request with its input pictures and output folder.
            emit: Receives `Loading` while models are read, `Note`s, a `Step` 0 when everything is ready, a `Step` for
                each step of each picture, and in the end exactly one of Finished, Cancelled, Failed.
            cancelled: Returns whether to stop; called often, from any thread.
        """
        job = Job(order, emit, cancelled)

        def work() -> Event:
            with self._busy:
                results: Iterator[Result] = iter(())
                if order.bare or order.scenery is not None:
                    _check_geometry()
                if order.bare:
                    self._unwrap(job)
                elif order.controls_only:
                    results = self._control_pictures(job)
                elif isinstance(order.request.task, Bake):
                    results = self._baked(job)
                elif isinstance(order.request.task, TextureObject):
                    results = self._textured(job, model_paths.resolve(order))
                elif isinstance(order.request.task, RestyleSequence):
                    self._sequence(job, model_paths.resolve(order))
                elif isinstance(order.request.task, PbrMaps):
                    results = self._mapped_source(job, order.request.task)
                else:
                    results = self._written(job, model_paths.resolve(order))
                return Finished(order.job, tuple(sheet_first(list(results))))

        def explained(error: BaseException) -> SDError:
            blocked_word = isinstance(error, WordBlocked)  # its text is part of the prompt, which no log may hold
            log.info("job %s failed%s", order.job, ": a blocked word" if blocked_word else "",
                     exc_info=None if blocked_word else error)
            return self._explained(error)

        endings.finish(order.job, work, emit, explained)

    def close(self) -> None:
        """Free all models. Idempotent; the engine can be used again and then loads them again."""
        from .maps import marigold

        with self._busy:
            if self._painter is not None:
                self._painter.close()
            marigold.release()
            self._painter = self._ready = None

    # ---- one request --------------------------------------------------------------------------------------

    def _pictures(self, request: Request, inputs: dict[str, Source], on_event: Emit | None) -> list[Image.Image]:
        job = Job(Generate("", request, model_paths.model(request.model), "", inputs), on_event or (lambda event: None),
                  lambda: False)
        pictures = []
        with self._busy:
            try:
                resolved = model_paths.resolve(job.message)
                for painted in self._painted(job, resolved):
                    single, image = painted.request, painted.image
                    origin = image_origin.origin_of(painted.model, _with_loras_of(single, resolved.request))
                    image.info.update({REQUEST_KEY: single.to_json(),
                                       PARAMETERS_KEY: parameters_text(single, painted.model.name),
                                       ORIGIN_KEY: image_origin.finished(origin, image.info).to_json()})
                    pictures.append(painted)
            except BaseException as error:
                if not isinstance(error, Exception) and not endings.is_panic(error):
                    raise  # Ctrl-C is the caller's
                raise self._explained(error) from error
        return [painted.image for painted in sheet_first(pictures)]

    def _painted(self, job: Job, resolved: Resolved) -> Iterator[Painted]:
        rules = check_allowed(resolved, self._config)
        self.warm()
        identity, noted = Identity(self._digests, resolved.message.folder, job.check), set()
        for painted in self._painter.paint(job, resolved, rules, self._config):
            request = identity.of(painted.request, painted.model.name, noted.add)
            yield replace(painted, request=request)
        for text in noted:
            job.note(text)

    def _written(self, job: Job, resolved: Resolved) -> Iterator[Result]:
        """Yield each picture's `Result` once it is on disk.

        The result carries the pixels if there is no output folder, or if that can no longer be written.
        """
        self._keeper.check(job)
        origin, first = None, None
        index = 0
        for index, painted in enumerate(self._painted(job, resolved), start=1):
            request, image = painted.request, painted.image
            result = Result("", request, image.width, image.height, role=painted.role)
            if origin is None or any(lora.tag for lora in resolved.request.loras):
                origin = image_origin.origin_of(painted.model, _with_loras_of(request, resolved.request))
            if index == 1:
                first = painted
                self._keeper.keep_inputs(job, request)
            done = self._keeper.keep(job, index, result, image, origin, deep := image.info.pop(DEEP_KEY, None))
            yield from output_pictures.with_light(done, deep, origin, job.note)
        if job.message.scenery is not None and first is not None:
            over = replace(origin, kind=COMPOSITE)
            job.loading("Baking")
            yield from self._onto(job, first.request, [first.image], _PROJECTED, over, lambda share: None, index)
        if job.message.maps is not None and first is not None:
            from .tasks.pbr_maps import of_image

            job.loading("Making the material's maps")
            maps = of_image(first.image, job.message.maps, job.check, lambda share: None, job.note,
                            devices.choose(self._config).torch)
            yield from self._mapped(job, first.request, job.message.maps, maps, origin, index)

    def _unwrap(self, job: Job) -> None:
        """Report the UVs of the meshes that have none."""
        from ..geometry.unwrap import unwrap

        job.loading("Making UV maps")
        maps = []
        for bare in job.message.bare:
            maps.append(unwrap(bare.vertices, bare.triangles, bare.polygons))
            job.check()
        job.emit(Unwrapped(job.message.job, tuple(maps)))

    def _baked(self, job: Job) -> Iterator[Result]:
        """Yield the images of a bake once they are on disk."""
        from .tasks.bake import sources_of  # scipy takes a while, and pictures need none of it

        scenery, request = job.message.scenery, job.request
        if scenery is None:
            raise InvalidRequest("A bake cannot be repeated from its settings: they hold no objects and cameras.",
                                 "Bake again from the objects.")
        self._keeper.check(job)
        origin = Origin(generator(), kind=COMPOSITE, model=", ".join(scenery.made_by))
        pictures = sources_of(scenery, job.message.inputs)
        yield from self._onto(job, request, pictures, request.task, origin if scenery.made_by else None,
                              lambda share: job.step(round(share * 100), 100, 1))

    def _textured(self, job: Job, resolved: Resolved) -> Iterator[Result]:
        """Yield an object's textures once they are on disk, and after them a sheet of the views."""
        from .object_painter import ObjectPainter  # scipy takes a while, as for bakes
        from .tasks.texture_object import contact_sheet

        if job.message.scenery is None:
            raise InvalidRequest("A texture cannot be painted again from its settings: they hold no object.",
                                 "Select the object and press Texture Object.")
        rules = check_allowed(resolved, self._config)
        self._keeper.check(job)
        self.warm()
        identity, noted = Identity(self._digests, resolved.message.folder, job.check), set()
        single = job.request.single(0)
        painter = ObjectPainter(self._painter, job, resolved, rules, self._config)
        done = painter.paint()
        request = identity.of(single, done.model.name, noted.add)
        for text in noted:
            job.note(text)
        origin = image_origin.origin_of(done.model, _with_loras_of(single, resolved.request))
        scenery = replace(job.message.scenery, lenses=done.lenses)
        inputs = {**job.message.inputs, **done.stage.locked()}
        painted = replace(job, message=replace(job.message, scenery=scenery, inputs=inputs))
        count = 0
        if not request.task.look:
            made = self._on_objects(painted, request, done, painter.repaint, replace(origin, kind=COMPOSITE))
            for result in made:
                count += 1
                yield result
        sheet = contact_sheet(done.pictures)
        result = Result("", request, sheet.width, sheet.height, role=SHEET)
        yield self._keeper.keep(job, count + 1, result, sheet, origin)

    def _on_objects(self, job: Job, request: Request, done: PaintedViews, repaint: Repaint, origin: Origin
                    ) -> Iterator[Result]:
        """Yield what the finished views of a job give its objects: base colours, or all maps."""
        if job.message.maps is None:
            job.loading("Baking")
            yield from self._onto(job, request, done.pictures, Bake(fill=request.task.fill), origin, lambda share: None,
                                  agreed=done.agreed, repaint=repaint)
            return
        from .tasks.object_maps import object_maps  # scipy takes a while, as for bakes
        job.loading("Making the material's maps")
        maps = object_maps(job.message, done.pictures, job.cancelled, job.note, devices.choose(self._config).torch)
        yield from self._mapped(job, request, job.message.maps, maps, origin)

    def _sequence(self, job: Job, resolved: Resolved) -> None:
        """Make the frames of a shot. They are reported one by one, as there can be many thousands."""
        from .sequences import restyle

        rules = check_allowed(resolved, self._config)
        self.warm()
        restyle(job, resolved, rules, self._config, self._painter, self._digests, self._keeper.credentials)

    def _mapped_source(self, job: Job, task: PbrMaps) -> Iterator[Result]:
        """Yield the maps of the job's source once they are on disk."""
        from .tasks.pbr_maps import made_by, of_source

        self._keeper.check(job)
        self._keeper.keep_inputs(job, job.request)
        maps = of_source(job.message.inputs.get("source"), task, job.check,
                         lambda share: job.step(round(share * 100), 100, 1), job.note,
                         devices.choose(self._config).torch)
        yield from self._mapped(job, job.request, task, maps, Origin(generator(), kind=COMPOSITE, model=made_by(task)))

    def _mapped(self, job: Job, request: Request, task: PbrMaps, maps: Iterator[Map], origin: Origin | None,
                before: int = 0) -> Iterator[Result]:
        """Yield a material's maps as results; `before` other results came first."""
        from .tasks.pbr_maps import results_of, with_estimators

        for index, (result, image) in enumerate(results_of(maps, request, task), start=before + 1):
            yield self._keeper.keep(job, index, result, image, with_estimators(origin, task))

    def _onto(self, job: Job, request: Request, pictures: Sequence[Image.Image], settings: Bake, origin: Origin | None,
              progress: Callable[[float], None], before: int = 0, **options: Any) -> Iterator[Result]:
        """Yield the images that `pictures` are baked into; `before` other results came first. `options`: of `bake`."""
        from .tasks.bake import bake

        images = bake(job.message.scenery, pictures, settings, job.message.inputs, job.cancelled, progress, job.note,
                      **options)
        for index, (role, image) in enumerate(images, start=before + 1):
            result = Result("", request, image.width, image.height, role=role)
            yield self._keeper.keep(job, index, result, image, origin)

    def _control_pictures(self, job: Job) -> Iterator[Result]:
        """Yield what the job's ControlNets would read."""
        for picture, note in controlnets.pictures(job.request, job.message.inputs):
            if note:
                job.note(note)
            yield Result("", job.request, picture.width, picture.height, pixels_of(picture), CONTROL)

    def _load(self, model: str) -> Model:
        with self._busy:
            folder = model_paths.model(model)
            policy.current().check_model(folder)
            self.warm()
            return self._painter.load(folder)

    def _explained(self, error: BaseException) -> SDError:
        """Return what a person reads for `error`, and return cached memory to the device if possible."""
        try:
            if self._painter is not None:
                self._painter.release()
        except Exception as another:  # a graphics card that has failed fails here too
            log.warning("the device's memory was not given back: %r", another)
        return budget.translated(error)


def _with_loras_of(single: Request, resolved: Request) -> Request:
    """Return the request with real paths, with only the LoRAs of one of its pictures."""
    if not any(lora.tag for lora in resolved.loras):
        return resolved
    counted = tuple(replace(lora, file=model_paths.real(lora.file)) for lora in single.loras if lora.counts)
    return replace(resolved, loras=counted)


def _check_geometry() -> None:
    """Raise GeometryMissing if what baking needs is not installed, before anything is painted."""
    try:
        from ..geometry import bake, rays  # noqa: F401  # scipy takes a while, and pictures need none of it
    except ImportError as error:
        name = (error.name or str(error)).partition(".")[0]
        raise GeometryMissing(f"The package {name} is missing in the engine's Python.",
                              f"Install it with: {sys.executable} -m pip install {name}", str(error)) from error
    rays.check()
