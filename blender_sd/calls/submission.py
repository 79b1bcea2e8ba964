"""What all calls that ask for a picture share: build and check the request, open sources, submit."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..core import request_builder
from ..core.declarations import SETTINGS, find
from ..core.prompt_choices import notes_on
from ..core.request import Request
from ..core.tasks import KNOWN, PbrMaps, task_fields
from ..library.models import ModelInfo
from ..protocol.messages import Source
from ..session.job import Job
from ..session.sequences import Sequence
from ..session.worker import SceneryOrReader
from . import outlines, policy
from .arguments import ControlInput, Place, RegionInput
from .look_ups import LOOK_UPS
from .runtime import runtime
from .source_pictures import check_source_size, words_from

SourceLike = Source | Callable[[], Source]


@dataclass
class Order:
    """A request that was built and may be carried out, and what goes with it.

    Attributes:
        request: The request, of the model's size where the call gave none.
        info: The model.
        target: Where the results go.
        label: What lists call the job.
        controls: The controls with what their pictures are taken from.
        regions: The regions with what their masks are taken from, as in the request.
        own_regions: How many of them the call gave; the others are the style's.
        reference: The reference image; None for none.
        notes: What the person should know.
    """

    request: Request
    info: ModelInfo
    target: Place
    label: str
    controls: tuple[ControlInput, ...]
    reference: Any
    notes: list[str]
    regions: tuple[RegionInput, ...] = ()
    own_regions: int = 0


def prepare(task: str, prompt: str | None, keywords: Mapping[str, Any], source: Any = None) -> Order:
    """Build and check the request of `task`, before anything expensive is done for it.

    Args:
        prompt: None stands for the prompt that made `source`.
        keywords: The keywords of the call.

    Raises:
        SDError: The settings cannot be met, or the policy does not allow them.
    """
    given = dict(keywords)
    if prompt is None:
        prompt, given = words_from(source, given)
    target, label = given.pop("target", None), given.pop("label", None) or ""
    controls, reference = tuple(given.pop("controls", None) or ()), given.pop("reference", None)
    regions = tuple(given.pop("regions", None) or ())
    request_builder.check_reference(reference, given)
    parts: dict[str, Any] = {"controls": [control for control, _ in controls]}
    if KNOWN[task].regional:
        parts["regions"] = [region for region, _ in regions]
    built = request_builder.build(task, prompt, {**given, **parts}, LOOK_UPS)
    policy.check_request(built.request, built.model)
    return Order(built.request, built.model, target, label, controls, reference,
                 [*notes_on(prompt), *_idle_axes(built.request), *built.notes],
                 tuple(zip(built.request.regions, (*(mask for _, mask in regions),
                                                   *(None,) * (len(built.request.regions) - len(regions))))),
                 len(regions))


def with_regions(order: Order, source: Any = None) -> Order:
    """Return the order, once its regions can be found in a picture of `source`: those of the call, and of the style's
    those whose things are in this file; a note names the others.

    Args:
        order: The order.
        source: The source as the caller gave it; None for a picture that is painted from words alone.

    Raises:
        SDError: A region of the call cannot be found.
    """
    kept, notes = list(order.regions[:order.own_regions]), []
    for region, mask in order.regions[order.own_regions:]:
        if runtime.scene.is_there(region):
            kept.append((region, mask))
        else:
            notes.append(f"The style has a region for {region.label}, which this file does not have.")
    if kept:
        runtime.scene.check_regions(kept, source)
    return replace(order, request=order.request.changed(regions=tuple(region for region, _ in kept)),
                   regions=tuple(kept), notes=[*order.notes, *notes])


def submit(order: Order, inputs: dict[str, SourceLike], *, size: tuple[int, int] | None = None,
           covers: tuple[int, int] | None = None, given: Any = None, scenery: SceneryOrReader | None = None,
           maps: PbrMaps | None = None, sequence: Sequence | None = None, output: str = "", **changes: Any) -> Job:
    """Submit an order.

    Args:
        inputs: The input pictures by role.
        size: Width and height of the result in pixels, None for the request's.
        covers: The size of the picture that is stretched to that, and the camera's controls with it.
        given: The source as the caller gave it.
        scenery: What the pictures are baked onto.
        maps: How the maps of a material are made of the first picture.
        sequence: What comes before and after painting the frames of an animation.
        output: The folder for the pictures; "" for the output folder.
        changes: Settings that only the source decided.

    Raises:
        SDError: The settings cannot be met.
    """
    if size is not None:
        changes |= {"width": size[0], "height": size[1]}
    request = order.request.changed(**changes)
    if order.reference is not None:
        inputs["reference"], _ = open_source(order.reference)
    for number, mask in enumerate(runtime.scene.open_regions(
            order.regions, given, covers or (request.width, request.height),
            outlines.render) if order.regions else ()):
        inputs[f"region{number}"] = mask
    job = submit_request(request, order.info, inputs, order.target, order.label, order.controls, covers, given,
                         scenery, maps, sequence, output)
    job.notes += order.notes
    return job


def submit_request(request: Request, info: ModelInfo, inputs: dict[str, SourceLike], target: Place, label: str,
                   controls: Iterable[ControlInput] = (), covers: tuple[int, int] | None = None,
                   given: Any = None, scenery: SceneryOrReader | None = None, maps: PbrMaps | None = None,
                   sequence: Sequence | None = None, output: str = "") -> Job:
    """Submit a whole request that may be carried out (`policy.check_request`), with results that go to `target`; the
    other arguments as for `submit`. Raises SDError."""
    scene = runtime.scene
    if target is None or request.axes and not callable(target):
        target = scene.new_image_target()  # a sheet belongs in no material
    notes = [] if callable(target) else scene.remarks(target, given)
    for number, (control, image) in enumerate(controls):
        inputs[f"control{number}"] = scene.open_control(control.kind, image, (request.width, request.height), covers)

    def commit(job: Job) -> list:
        if callable(target):
            return scene.hold(target(job))
        return scene.hold(
            scene.commit(target, job.results, job.label, lambda placement: setattr(job, "placement", placement)))

    job = runtime.the_session().submit(
        request, folder=info.folder, output=output or str(runtime.folders.output_folder()), inputs=inputs,
        commit=commit, label=label or request.prompt or info.name, base_model=info.base_model, scenery=scenery,
        maps=maps, recall=scene.recall if sequence is None else None, sequence=sequence)
    job.notes += notes
    job.target = None if callable(target) else target
    return job


def open_source(source: Any, mattes: bool = False, deep: bool = False) -> tuple[SourceLike, tuple[int, int]]:
    """Return a source as it travels to the engine, and its size; `mattes`: whether a render that is made for it is to
    tell objects and materials apart, for regions; `deep`: whether values of more than 8 bits come too. Raises
    SourceUnusable."""
    data, size = runtime.scene.open_source(source, mattes=mattes, deep=deep)
    check_source_size(size)
    return data, size


def _idle_axes(request: Request) -> list[str]:
    """Return a note for each axis of a setting that the task does not have."""
    common = {declared.name for declared in SETTINGS if not declared.task} - set(request.task.sets)
    return [f"{find(axis.setting).setting.label} changes nothing here: the pictures along that axis are the same."
            for axis in request.axes if axis.setting not in common | set(task_fields(type(request.task)))]
