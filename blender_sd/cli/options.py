"""The options that commands share, derived from the same declarations as the panel and the API."""
from __future__ import annotations

import argparse
import dataclasses
import os
from typing import Any

from ..core.declarations import SETTINGS, Declared
from ..core.errors import InvalidRequest
from ..core.regions import from_fields
from ..core.settings import Setting
from ..core.tasks import KNOWN
from ..protocol.boot import NICENESS_VARIABLE
from ..protocol.engine_config import EngineConfig
from .blend_files import whole_path

_KINDS = {"int": int, "float": float, "str": str}
_OF_FARMS = ("engine_python", "base", "output", "model_folders")  # of `calls.config.Config`, beside the engine's
# settings with an argument of their own, or none
_APART = ("prompt", "width", "height", "sides", "parts", "look")


def flag(name: str) -> str:
    """Return the option of a setting."""
    return f"--{name.replace('_', '-')}"


def add_settings(parser: argparse.ArgumentParser, task: str, size: str = "") -> None:
    """Add an option for each declared setting of all requests and of a task, and those for LoRAs, grids and controls.

    Args:
        parser: The command's parser.
        task: The name of the task.
        size: What the size is of; "" for a task that takes none.
    """
    group = parser.add_argument_group("settings", "What is left out, the style or the model decides.")
    if size:
        group.add_argument("--size", type=_size, metavar="WxH", help=f"width and height of {size} in pixels")
    for declared in SETTINGS:
        if declared.task in ("", task) and declared.name not in (*_APART, *KNOWN[task].sets):
            _add_setting(group, declared)
    group.add_argument("--lora", action="append", type=_weighted, metavar="NAME[:WEIGHT]",
                       help="put a LoRA on; may be given several times")
    group.add_argument("--axis", action="append", type=_axis, metavar="SETTING=A,B,C",
                       help="vary a setting along an axis of a grid; twice for two axes")
    group.add_argument("--control", action="append", type=_control, metavar="KIND=PICTURE[,weight=W][,model=NAME]",
                       help="guide the structure by a ControlNet; the picture is a file or CAMERA")
    if KNOWN[task].regional:
        group.add_argument(
            "--region", action="append", type=_region, metavar="KIND=NAME[,keep][,strength=S][,prompt=WORDS]",
            help="keep an object, a material, a collection or what a mask shows as it is, or paint it after words of "
                 "its own; may be given several times")
    group.add_argument("--reference", metavar="FILE", help="the picture that --ip-adapter takes the look of")


def _add_setting(group: Any, declared: Declared) -> None:
    rule = declared.setting
    if declared.kind == "bool":
        group.add_argument(flag(declared.name), action=argparse.BooleanOptionalAction, default=None, help=_help(rule))
    else:
        group.add_argument(flag(declared.name), type=_KINDS[declared.kind], metavar=_metavar(declared.kind, rule),
                           help=_help(rule))


def _help(rule: Setting) -> str:
    limits = f" ({rule.low:g} to {rule.high:.10g})" if rule.low is not None and rule.high is not None else ""
    few = rule.choices if len(rule.choices) <= 6 else ()
    return f"{rule.tip}{limits}{': ' + ', '.join(few) if few else ''}".replace("%", "%%")


def _metavar(kind: str, rule: Setting) -> str:
    return {"int": "N", "float": "X"}.get(kind, "FILE" if rule.unit == "file" else "TEXT")


def settings_in(asked: argparse.Namespace, task: str) -> dict[str, Any]:
    """Return the keywords of the API for the options of `add_settings` that were given."""
    apart = (*_APART, *KNOWN[task].sets)
    names = [declared.name for declared in SETTINGS if declared.task in ("", task) and declared.name not in apart]
    given = {name: value for name in names if (value := getattr(asked, name)) is not None}
    parts = {"loras": asked.lora, "axes": asked.axis, "reference": asked.reference,
             "size": getattr(asked, "size", None)}
    given |= {name: value for name, value in parts.items() if value}
    if getattr(asked, "region", None):
        given["regions"] = asked.region
    if asked.control:
        given["control_pictures"] = asked.control
    return given


# ---- how pictures are made, and on what ------------------------------------------------------------------------------

def add_painting(parser: argparse.ArgumentParser, named: bool = True) -> None:
    """Add the options of all commands that make pictures."""
    group = parser.add_argument_group("results")
    group.add_argument("--output", metavar="FOLDER", help="where the pictures go")
    if named:
        group.add_argument("--name", default="", help="the file's name; #### stands for the frame")
    group.add_argument("--resume", action="store_true",
                       help="keep pictures that are finished already, by their settings and content; needs a seed")
    group.add_argument("--dry-run", action="store_true", help="check everything and list what would be made")
    group.add_argument("--quiet", action="store_true", help="show no progress")
    group.add_argument("--blend", metavar="FILE", help="the .blend file to open first")
    add_machine(parser)
    add_workers(parser)


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Add the option for several engines."""
    parser.add_argument("--workers", type=int, default=1, metavar="N",
                        help="engines that share the queue: one for each graphics card, or several on one processor")


def add_machine(parser: argparse.ArgumentParser) -> None:
    """Add an option for each setting of the engine, and where it and the models are."""
    group = parser.add_argument_group("machine", "What is left out is as in Blender's preferences.")
    group.add_argument("--engine-python", metavar="FILE", help="the Python that has torch and diffusers")
    group.add_argument("--base", metavar="FOLDER", help="the folder with the engine, models, pictures and styles")
    group.add_argument("--models", action="append", metavar="FOLDER", dest="model_folders",
                       help="a folder with models, LoRAs and lists; may be given several times")
    for spec in dataclasses.fields(EngineConfig):
        if (rule := spec.metadata.get("setting")) is None:
            continue
        if spec.type == "bool":
            group.add_argument(flag(spec.name), action=argparse.BooleanOptionalAction, default=None, help=_help(rule))
        else:
            group.add_argument(flag(spec.name), type=_KINDS[str(spec.type)], metavar=_metavar(str(spec.type), rule),
                               help=_help(rule))


def configure(asked: argparse.Namespace) -> None:
    """Set up the machine as the options say. Raises InvalidRequest."""
    from ..calls.engine_control import configure
    from ..calls.runtime import runtime

    os.environ.setdefault(NICENESS_VARIABLE, "0")  # no interface waits; the priority of the command itself holds
    workers = getattr(asked, "workers", 1)
    if not 1 <= workers <= 64:
        raise InvalidRequest(f"--workers must be between 1 and 64, not {workers}.")
    runtime.engines = workers
    names = [spec.name for spec in dataclasses.fields(EngineConfig) if "setting" in spec.metadata]
    given = {name: value for name in (*names, *_OF_FARMS) if (value := getattr(asked, name, None)) is not None}
    if given.get("output"):
        given["output"] = whole_path(given["output"])
    configure(preview_px=0, **given)  # nobody would see previews


# ---- values ----------------------------------------------------------------------------------------------------------

def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().replace("×", "x").partition("x")
    try:
        return int(width), int(height or width)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is no size such as 768x512") from None


def _weighted(text: str) -> tuple[str, float]:
    name, colon, weight = text.rpartition(":")
    try:
        return (name, float(weight)) if colon and name else (text, 1.0)
    except ValueError:  # the colon belongs to the name, as in C:\loras\x.safetensors
        return text, 1.0


def _axis(text: str) -> tuple[str, str]:
    name, equals, values = text.partition("=")
    if not (equals and name and values):
        raise argparse.ArgumentTypeError(f"'{text}' is no axis such as steps=8,20")
    return name.replace("-", "_"), values


def _region(text: str) -> Any:
    """Return a region as the API takes it; the words after prompt= may hold commas."""
    rest, _, prompt = text.partition(",prompt=")
    raw: dict[str, Any] = {"prompt": prompt} if prompt else {}
    for part in rest.split(","):
        name, _, value = part.partition("=")
        raw[name.strip()] = value if value else True
    try:
        raw |= {name: convert(raw[name]) for name, convert in (("strength", float), ("control", float),
                                                               ("feather", int)) if name in raw}
        return from_fields(raw)
    except (InvalidRequest, ValueError, TypeError) as error:
        why = error.message if isinstance(error, InvalidRequest) else "A number is none."
        raise argparse.ArgumentTypeError(f"'{text}' is no region such as object=Bottle,keep or material=Wood,"
                                         f"prompt=carved oak. {why}") from None


def _control(text: str) -> dict[str, Any]:
    kind, equals, rest = text.partition("=")
    picture, *others = rest.split(",")
    pairs = dict(part.partition("=")[::2] for part in others)
    try:
        numbers: dict[str, Any] = {name: float(pairs.pop(name)) for name in ("weight", "start", "end") if name in pairs}
    except ValueError:
        numbers, pairs = {}, {"": ""}
    if not (equals and kind and picture) or pairs.keys() - {"model"}:
        raise argparse.ArgumentTypeError(f"'{text}' is no control such as depth=CAMERA,weight=0.8")
    return {"kind": kind, "image": picture, **pairs, **numbers}
