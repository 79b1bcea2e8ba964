"""Units of work: what one call of the API makes, with the name of its file. Commands and job files give lists of them.
"""
from __future__ import annotations

import hashlib
import inspect
import json
import os
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module
from typing import Any

from ..core.errors import InvalidRequest, SDError, SourceUnusable
from ..core.names import suggestion
from ..core.request import PANEL_SEED, Request
from ..core.tasks import MAKE_SEAMLESS, OUTPAINT, TASKS, UPSCALE
from .blend_files import whole_path
from ..library.frame_files import with_frame
from ..core.frame_ranges import frames_in

CAMERA = "CAMERA"
_PICTURES = ("source", "mask", "reference")
_DIGITS = "####"  # of a frame's number where no name is given


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One call.

    Attributes:
        task: The name of its task.
        keywords: The keywords of the API's call, the pictures among them.
        name: The file's name without its ending; "" for the engine's own.
        frame: The scene's frame; None for the current one.
        where: Its place in a job file, for messages; "" for none.
        places: The place of each of its keywords there.
        drawn: Whether its seed was drawn here.
        request: A whole request that is carried out as it is, in place of the keywords.
    """

    task: str = ""
    keywords: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    frame: int | None = None
    where: str = ""
    places: Mapping[str, str] = field(default_factory=dict)
    drawn: bool = False
    request: Request | None = None

    @property
    def label(self) -> str:
        """What progress and results call it."""
        return self.name or self.where or (f"frame {self.frame}" if self.frame is not None else
                                           str(self.keywords.get("prompt") or self.task)[:40])


class Missing(SourceUnusable):
    """A picture that a call needs is not given. `setting`: its keyword."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no {name} image.", "Choose one.")
        self.setting = name


class NameUnusable(InvalidRequest):
    """Files cannot have the name that a unit gives them."""

    setting = "name"


def task_named(name: Any) -> str:
    """Return the task of that name, or that the API's call of that name does. Raises InvalidRequest."""
    names = {**{task: task for task in TASKS},
             **{call.__name__: task for task, call in calls().items() if task in TASKS}}
    if not isinstance(name, str) or name not in names:
        raise InvalidRequest(f"There is no task called '{name!s:.40}'.", suggestion(str(name), names))
    return names[name]


@cache
def calls() -> dict[str, Callable]:
    """Return the API's call for each task."""
    package = __package__.rpartition(".")[0]
    top = import_module(package)
    modules = dict.fromkeys(top._MODULES.values())
    made: dict[str, Callable] = {}
    for module in (import_module(f"{package}.calls.{name}") for name in modules):
        for value in vars(module).values():
            if inspect.isfunction(value) and hasattr(value, "task"):
                made.setdefault(value.task, value)  # later ones, such as `project`, use the task in another way
    return made


def by_call(task: str) -> tuple[str, ...]:
    """Return the keywords of a task's call that are no settings, such as its pictures and `scale`."""
    from ..core.common_settings import CommonSettings
    from ..core.tasks import task_fields

    settings = {*CommonSettings.__dataclass_fields__, *task_fields(task)}
    return tuple(name for name in inspect.signature(calls()[task]).parameters
                 if name not in settings and name not in ("target", "label"))


def expanded(unit: Unit, frames: str = "") -> Iterator[Unit]:
    """Yield a unit for each frame of a range, with the names of its files and pictures; the unit itself without one.

    All frames get the same seed, which keeps them alike.

    Raises:
        InvalidRequest: The range cannot be used, or the source is the same for every frame.
    """
    unit = replace(with_seed(unit), name=unit.name.removesuffix(".png"))
    if not frames:
        if "#" in unit.name:
            raise InvalidRequest("The name has #### for a frame, but there are no frames.",
                                 "Give frames, such as 1-10.")
        yield unit
        return
    pictures = [unit.keywords.get(name) for name in _PICTURES]
    if not any(isinstance(picture, str) and (picture == CAMERA or "#" in picture) for picture in pictures):
        raise InvalidRequest("Frames need CAMERA as the source, or files with #### for the frame's number.")
    pattern = unit.name or _DIGITS
    for frame in frames_in(frames):
        name = with_frame(pattern, frame) if "#" in pattern else f"{pattern}{frame:04d}"
        keywords = {key: with_frame(value, frame) if key in _PICTURES and isinstance(value, str) else value
                    for key, value in unit.keywords.items()}
        yield replace(unit, keywords=keywords, name=name, frame=frame)


def planned(asked: Any, task: str, keywords: Mapping[str, Any], frames: str = "") -> Iterator[Unit]:
    """Yield the units of a command for one task, with the options' name and frames. Raises InvalidRequest."""
    if asked.resume and keywords.get("seed") is None:
        raise InvalidRequest("--resume needs a seed: without one, every run makes other pictures.", "Give --seed 1.")
    return expanded(Unit(task=task, keywords=keywords, name=asked.name), frames)


def own_name(unit: Unit, number: int) -> str:
    """Return a name for the files of a job that has none: always the same for the same job, and no other job's, so that
    processes can share a folder."""
    content = unit.request.to_json() if unit.request is not None else json.dumps(
        [unit.task, dict(unit.keywords)], sort_keys=True, default=str)
    return f"job_{number:04d}_{hashlib.sha256(content.encode('utf-8', 'replace')).hexdigest()[:8]}"


def with_seed(unit: Unit) -> Unit:
    """Return the unit with a seed: its own, or one that is drawn now, so that what is checked is what is made."""
    if unit.request is not None or unit.keywords.get("seed") not in (None, -1):
        return unit
    drawn = random.SystemRandom().randint(0, PANEL_SEED)
    return replace(unit, keywords={**unit.keywords, "seed": drawn}, drawn=True)


def prepared(unit: Unit) -> Any:
    """Return the `Order` of a unit, checked as its call does, without a render. Raises SDError."""
    from ..calls.arguments import PartKeywords
    from ..calls.scene_access import has_blender
    from ..calls.submission import prepare, with_regions

    own = by_call(unit.task)
    for name in own:
        if name in ("source", "mask") and name not in unit.keywords:
            raise Missing(name)
    sizes = {name: check_picture(unit.keywords[name], unit.frame) for name in _PICTURES if name in unit.keywords}
    keywords = {name: value for name, value in sized(unit.keywords).items()
                if name in PartKeywords.__annotations__ or name not in own}
    controls = keywords.pop("control_pictures", ())
    for given in controls:
        if given["image"] == CAMERA or not given["image"].isupper() or not has_blender():
            check_picture(given["image"], unit.frame)
    keywords["controls"] = controls_of(controls)
    for _, mask in keywords.get("regions", ()):
        if mask is not None:
            check_picture(mask, unit.frame)
    check_shape(unit, sizes.get("source"))
    source = source_of(unit.keywords.get("source"))
    order = prepare(unit.task, unit.keywords.get("prompt"), keywords, source)
    return with_regions(order, source) if order.regions else order


def sized(keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Return keywords with `width` and `height` in place of `size`, as a request has them. Raises InvalidRequest."""
    from ..core.request_builder import checked_size

    made = dict(keywords)
    if (size := made.pop("size", None)) is not None:
        made["width"], made["height"] = checked_size(size)
    return made


def check_shape(unit: Unit, source: tuple[int, int] | None) -> None:
    """Raise InvalidRequest if the picture that a call changes in size cannot have the new one. `source`: its size; None
    where that is not known yet."""
    from ..core import request_builder as builder

    keywords = unit.keywords
    if unit.task == UPSCALE:
        scale = builder.checked_scale(keywords.get("scale", 2.0))
        if source is not None:
            builder.checked_size(tuple(round(side * scale) for side in source))
    elif unit.task == OUTPAINT:
        aspect = keywords.get("aspect")
        if aspect is not None:
            builder.checked_aspect(aspect)
        if aspect is None or source is not None:
            builder.growth(*(source or (0, 0)), keywords, aspect)
    elif unit.task == MAKE_SEAMLESS:
        builder.checked_seam(keywords.get("tiling", "xy"))


def check_files(unit: Unit) -> None:
    """Raise SourceUnusable if a picture of a unit is a file that is not there."""
    for name in _PICTURES:
        opened = source_of(unit.keywords.get(name))
        if isinstance(opened, str) and os.path.isabs(opened) and not os.path.isfile(opened):
            raise SourceUnusable(f"There is no file '{opened}'.", "Check the frame range, or the path of the files.")


def is_gone(unit: Unit) -> bool:
    """Return whether a picture of a unit that was there is not there any more, as when a share disappears."""
    try:
        check_files(unit)
    except SourceUnusable:
        return True
    return False


def located_order(unit: Unit) -> Any:
    """Return the `Order` of a unit with a whole request, with the model and nets where this machine has them. Raises
    SDError."""
    from ..calls import policy
    from ..calls.locating import located
    from ..calls.submission import Order

    assert unit.request is not None  # the caller has looked
    request, info, notes = located(unit.request)
    policy.check_request(request, info)
    return Order(request, info, None, unit.label, (), None, notes)


def check_picture(picture: Any, frame: int | None) -> tuple[int, int] | None:
    """Return the size of a picture in pixels, None where only a render tells it. Raise SDError if it is not there,
    before anything is rendered or painted."""
    from ..calls.runtime import runtime
    from ..calls.scene_access import has_blender

    if picture == CAMERA and has_blender():
        import bpy

        from ..scene.frames import camera_of

        scene = bpy.context.scene
        if scene is not None:  # it is None only while Blender starts
            camera_of(scene)
        return None
    if picture in ("ALPHA", "FACES"):
        return None
    opened = source_of(picture)
    if isinstance(opened, str):
        return runtime.scene.open_source(opened)[1]
    return tuple(opened.size)


def source_of(picture: Any) -> Any:
    """Return a picture as the API takes it: a file's whole path, the name of a source such as CAMERA, or an image of
    the open .blend file."""
    from ..calls.scene_access import has_blender

    if not isinstance(picture, str) or picture.isupper() and not os.path.exists(picture):
        return picture
    if not os.path.exists(picture) and has_blender():
        import bpy

        if (image := bpy.data.images.get(picture)) is not None:
            return image
    return whole_path(picture)


def controls_of(given: Any) -> list[Any]:
    """Return the controls of `--control` or a job file as the API takes them. Raises SDError."""
    from ..calls.control_images import control

    return [control(**{name: source_of(value) if name == "image" else value for name, value in one.items()})
            for one in given]


def regions_of(given: Any) -> list[Any]:
    """Return regions with their masks as the API takes them."""
    return [(region, mask if mask is None else source_of(mask)) for region, mask in given or ()]


def begin(unit: Unit) -> Any:
    """Start a unit and return its job. Renders the camera's frame first if that is the source. Raises SDError."""
    from ..calls.recalling import run

    if unit.frame is not None:
        to_frame(unit.frame)
    if unit.request is not None:
        source = unit.keywords.get("source")
        return run(unit.request, source_of(source) if source else None, target=_results, label=unit.label)
    keywords = dict(unit.keywords)
    for name in _PICTURES:
        if name in keywords:
            keywords[name] = source_of(keywords[name])
    keywords["controls"] = controls_of(keywords.pop("control_pictures", ()))
    if "regions" in keywords:
        keywords["regions"] = regions_of(keywords["regions"])
    return calls()[unit.task](**keywords, target=_results, label=unit.label)


def _results(job: Any) -> list[Any]:
    """Return a finished job's results as its outputs, so that they go into no scene."""
    return list(job.results)


def to_frame(frame: int) -> None:
    """Go to a frame of the scene, where there is one."""
    from ..calls.scene_access import has_blender

    if has_blender():
        import bpy

        scene = bpy.context.scene
        if scene is not None and scene.frame_current != frame:
            scene.frame_set(frame)


def where_of(unit: Unit, setting: str = "") -> str:
    """Return where in a job file a unit is, or one of its settings; its name where there is no file."""
    if unit.where and setting:
        return unit.places.get(setting, f"{unit.where}.{setting}")
    return unit.where or unit.name


def field_of(unit: Unit, error: SDError) -> str:
    """Return which setting of a unit of a job file an error of `prepared` is about; "" where that is not clear.

    It is the one without which the error does not come.
    """
    if isinstance(error, (Missing, NameUnusable)):
        return error.setting
    if not unit.where or unit.request is not None:
        return ""
    for name in _PICTURES:
        try:
            if name in unit.keywords:
                check_picture(unit.keywords[name], unit.frame)
        except SDError as own:
            if own.message == error.message:
                return name
    other = ""  # a setting without which another error comes: it was hidden by this one
    for name in unit.keywords:
        try:
            prepared(replace(unit, keywords={key: value for key, value in unit.keywords.items() if key != name}))
        except Missing:
            continue
        except SDError as next_:
            other = other or (name if next_.message != error.message else "")
        else:
            other = name
            break
    return "controls" if other == "control_pictures" else other
