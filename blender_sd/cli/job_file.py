"""Read job files: what to make, as JSON, by the names of the API and of a request's format.

    {"format": 2, "settings": {"steps": 30}, "jobs": [
        {"name": "brick", "task": "generate", "prompt": "red brick wall", "seed": 7, "size": [512, 512]},
        {"name": "shot_####", "task": {"name": "restyle", "strength": 0.4}, "prompt": "mosaic", "seed": 7,
         "source": "frames/shot_####.png", "frames": "1-10,20-30x2"},
        {"name": "again", "request": {"format": 2, …}}]}

`docs/guide/command-line.md` describes every field. Nothing is opened or started here; pictures and models are checked
by `painting`.
"""
from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..core.common_settings import CommonSettings
from ..core.errors import InvalidRequest, SDError, SourceUnusable
from ..core.names import suggestion
from ..core.request import Request
from ..core.regions import from_fields
from ..core.request_format import FORMAT
from ..core.settings import shown
from ..core.tasks import KNOWN, task_fields
from ..core.version import version
from . import units
from .exits import OtherVersion
from ..core.frame_ranges import frames_in
from .units import Unit

MAX_BYTES = 1 << 26
MAX_UNITS = 100_000
_TOP = ("format", "version", "blend", "output", "settings", "jobs")
_OF_JOBS = ("name", "task", "frames", "request")
_PICTURES = ("source", "mask", "reference")
_SOURCES = ("CAMERA", "RENDER", "VIEWPORT", "ALPHA", "FACES")  # words that are no paths
_PARTS: Mapping[str, tuple[str, ...]] = {  # keywords that are lists of objects: the names in each
    "controls": ("kind", "image", "model", "weight", "start", "end"), "loras": ("name", "weight"),
    "axes": ("setting", "values")}


class Problem(Exception):
    """An error with its place in the file, such as "jobs[3].task.strength"."""

    def __init__(self, where: str, error: SDError) -> None:
        super().__init__(f"{where}: {error}")
        self.where, self.error = where, error


@dataclasses.dataclass
class JobFile:
    """A job file.

    Attributes:
        path: Where it lies; paths in it are relative to its folder.
        blend: The .blend file that is opened first; "" for none.
        output: The folder for the pictures; "" for the machine's own.
        jobs: The units of each job, in the file's order; none for a job that cannot be used.
        problems: What cannot be used, each with its place.
    """

    path: str
    blend: str = ""
    output: str = ""
    jobs: list[list[Unit]] = dataclasses.field(default_factory=list)
    problems: list[Problem] = dataclasses.field(default_factory=list)


def read(path: str) -> JobFile:
    """Return the job file at `path`.

    Raises:
        SourceUnusable: It cannot be read.
        InvalidRequest: It is no job file, or one of a newer format or another version.
    """
    path = os.path.abspath(os.path.expanduser(path))
    raw = _decoded(path)
    for name in raw:
        if name not in _TOP:
            raise InvalidRequest(f"{os.path.basename(path)}: there is no field called '{name:.40}'.",
                                 suggestion(name, _TOP))
    _check_versions(path, raw)
    made = JobFile(path)
    folder = os.path.dirname(path)
    for name in ("blend", "output"):
        value = raw.get(name, "")
        if isinstance(value, str):
            setattr(made, name, os.path.join(folder, value) if value else "")
        else:
            made.problems.append(Problem(name, InvalidRequest(f"{name} must be a path, not {shown(value)}.")))
    for_all, jobs = raw.get("settings", {}), raw.get("jobs")
    if not isinstance(jobs, list) or not jobs:
        raise InvalidRequest(f"{os.path.basename(path)} holds no jobs.", 'Give a list: "jobs": [{…}, …].')
    if not isinstance(for_all, dict):
        raise InvalidRequest(f"settings must be an object, not {shown(for_all)}.")
    count = 0
    for number, job in enumerate(jobs):
        try:
            made.jobs.append(list(_job(job, f"jobs[{number}]", number, for_all, folder)))
            count += len(made.jobs[-1])
        except Problem as problem:
            made.jobs.append([])
            made.problems.append(problem)
    if count > MAX_UNITS:
        raise InvalidRequest(f"{os.path.basename(path)} asks for {count} results.",
                             f"Split it: {MAX_UNITS} are the most.")
    return made


def _decoded(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.read(MAX_BYTES + 1)
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SourceUnusable(f"The job file {path} cannot be read ({why}).", "Check its path.", repr(error)) from None
    try:
        raw = json.loads(text) if len(text) <= MAX_BYTES else None
    except json.JSONDecodeError as error:
        raise InvalidRequest(f"{path} is no JSON: {error.msg} in line {error.lineno}, column {error.colno}.",
                             "Correct it there.") from None
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"{path} cannot be read as JSON.", "Write it again.", repr(error)) from None
    if not isinstance(raw, dict):
        raise InvalidRequest(f"{path} is no job file.", 'It must be an object: {"format": 2, "jobs": […]}.')
    return raw


def _check_versions(path: str, raw: Mapping[str, Any]) -> None:
    name, format, wanted = os.path.basename(path), raw.get("format"), raw.get("version", version())
    if type(format) is not int or format < 2:
        raise InvalidRequest(f"{name} does not name its format.", f'Begin it with "format": {FORMAT}.')
    if format > FORMAT:
        raise InvalidRequest(f"{name} is a job file of format {format}; version {version()} of the add-on reads format "
                             f"{FORMAT}.", "Update the add-on on this machine.")
    if wanted != version():
        raise OtherVersion(str(wanted)[:40])


def _job(raw: Any, where: str, number: int, for_all: Mapping[str, Any], folder: str) -> Iterator[Unit]:
    """Yield the units of one job. Raises Problem."""
    if not isinstance(raw, dict):
        raise Problem(where, InvalidRequest(f"A job must be an object, not {shown(raw)}."))
    name = raw.get("name", "")
    if not isinstance(name, str):
        raise Problem(f"{where}.name", InvalidRequest(f"name must be text, not {shown(name)}."))
    frames = raw.get("frames", "")
    if frames != "":
        _at(f"{where}.frames", lambda: frames_in(frames if isinstance(frames, str) else str(frames)))
    if "request" in raw:
        unit = _whole(raw, where, name, folder)
    else:
        unit = _unit(raw, where, name, for_all, folder)
    unit = units.with_seed(unit)
    if not name:
        own = units.own_name(unit, number + 1)
        unit = dataclasses.replace(unit, name=f"{own}_####" if frames != "" else own)
    yield from _at(f"{where}.frames", lambda: list(units.expanded(unit, str(frames))))


def _whole(raw: Mapping[str, Any], where: str, name: str, folder: str) -> Unit:
    for other in raw.keys() - {"name", "request", "source"}:
        raise Problem(f"{where}.{other}", InvalidRequest("A job with a whole request takes only 'name' and 'source'.",
                                                         "Put it into the request."))
    request = _at(f"{where}.request", lambda: Request.from_dict(raw["request"]))
    source = {"source": _path(raw["source"], folder)} if "source" in raw else {}
    return Unit(task=request.task.name, request=request, name=name, where=where, keywords=source)


def _unit(raw: Mapping[str, Any], where: str, name: str, for_all: Mapping[str, Any], folder: str) -> Unit:
    task, own = raw.get("task", "generate"), {}
    if isinstance(task, dict):
        own = {key: value for key, value in task.items() if key != "name"}
        task = task.get("name", "")
        place = f"{where}.task.name"
    else:
        place = f"{where}.task"
    task = _at(place, lambda: units.task_named(task))
    given = {key: value for key, value in raw.items() if key not in _OF_JOBS}
    shared = {key: value for key, value in for_all.items() if key not in given and key not in own}
    keywords: dict[str, Any] = {}
    places: dict[str, str] = {}
    for values, within in ((shared, "settings"), (given, where), (own, f"{where}.task")):
        for key, value in values.items():
            if value is not None and (within != "settings" or key in _known(task)):
                places[key] = f"{within}.{key}"
                keywords[key] = _value(task, key, value, places[key], folder)
    if "controls" in keywords:
        keywords["control_pictures"] = keywords.pop("controls")
    return Unit(task=task, keywords=keywords, name=name, where=where, places=places)


def _known(task: str) -> tuple[str, ...]:
    return (*CommonSettings.__dataclass_fields__, *task_fields(task), *units.by_call(task))


def _value(task: str, key: str, value: Any, where: str, folder: str) -> Any:
    """Return the value of a keyword as the API takes it. Raises Problem with its place."""
    if key in task_fields(task):
        _at(where, lambda: KNOWN[task](**{key: value}))
    elif key in CommonSettings.__dataclass_fields__:
        _at(where, lambda: Request(**{key: value}))
    elif key not in _known(task):
        raise Problem(where, InvalidRequest(f"There is no setting called '{key:.40}'.", suggestion(key, _known(task))))
    if key in _PICTURES:
        if not isinstance(value, str):
            raise Problem(where, InvalidRequest(f"{key} must be a path, not {shown(value)}."))
        return _path(value, folder)
    if key == "regions":
        return [_region(part, f"{where}[{number}]", folder) for number, part in enumerate(_listed(value, where))]
    if key in ("model", "ip_adapter", "vae", "upscaler"):
        beside = os.path.join(folder, value)
        return beside if value and os.path.exists(beside) else value
    if key in _PARTS:
        return [_part(key, part, f"{where}[{number}]", folder) for number, part in enumerate(_listed(value, where))]
    if key in ("size", "aspect"):
        return tuple(_listed(value, where))
    return value


def _part(key: str, part: Any, where: str, folder: str) -> Any:
    """Return one LoRA, axis or control as the API takes it."""
    names = _PARTS[key]
    if not isinstance(part, dict):
        raise Problem(where, InvalidRequest(f"It must be an object with {', '.join(names)}, not {shown(part)}."))
    for name in part:
        if name not in names:
            raise Problem(f"{where}.{name}", InvalidRequest(f"There is no field called '{name:.40}'.",
                                                            suggestion(name, names)))
    for name in names[:1 if key == "loras" else 2]:
        if name not in part:
            raise Problem(where, InvalidRequest(f"'{name}' is missing."))
    if key == "controls":
        return {**part, "image": _path(str(part["image"]), folder)}
    return (part["name"], part.get("weight", 1.0)) if key == "loras" else (part["setting"], part["values"])


def _region(part: Any, where: str, folder: str) -> Any:
    """Return one region as the API takes it."""
    region, mask = _at(where, lambda: from_fields(part))
    return region, mask if mask is None else _path(str(mask), folder)


def _listed(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise Problem(where, InvalidRequest(f"It must be a list, not {shown(value)}."))
    return value


def _path(value: str, folder: str) -> str:
    return value if value in _SOURCES else os.path.join(folder, os.path.expanduser(value))


def _at(where: str, call: Callable[[], Any]) -> Any:
    """Return what `call` returns; an SDError becomes a Problem with its place."""
    try:
        return call()
    except SDError as error:
        raise Problem(where, error) from None
    except TypeError as error:
        raise Problem(where, InvalidRequest("It has a value of the wrong kind.", "", repr(error))) from None
