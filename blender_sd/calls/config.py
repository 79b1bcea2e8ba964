"""Declare how the add-on runs on this machine: which interpreter, device and folders. `Runtime.config` holds it."""
from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Any

from ..core.errors import InvalidRequest
from ..core.names import suggestion
from ..core.settings import FILE, FOLDER, SECRET, setting_field
from ..protocol.engine_config import EngineConfig
from .arguments import checked_value

_TAKEN = {"str": str | os.PathLike, "tuple[str, ...]": Iterable[str | os.PathLike], "int": int,
          "float": float, "bool": bool | int}
_OF_ENGINE = tuple(spec.name for spec in fields(EngineConfig))
# What a running engine was started with.
OF_THE_ENGINE = frozenset((*_OF_ENGINE, "engine_python", "base", "engine_place", "in_thread"))
SEARCHED = frozenset({"model_folders", "downloads", "base"})  # where models and the like are looked for


@dataclass(frozen=True, kw_only=True)
class Config(EngineConfig):
    """What the preferences set: the engine's settings, and those that Blender's side has beyond.

    Attributes:
        model_folders: Folders that hold models, LoRAs, ControlNets and wildcard lists.
    """

    engine_python: str = setting_field(
        "", "Engine Interpreter",
        "The Python that has torch and diffusers. Left empty: the one named by the environment variable "
        "SD_ENGINE_PYTHON, else the engine that was set up, else Blender's own if it has them", unit=FILE)
    base: str = setting_field(
        "", "Folder",
        "Where the engine, models, pictures and your styles go, each into a folder of its own, unless another is named "
        "for it. Setting up the engine fills it in. What is in the old one stays there", unit=FOLDER)
    engine_place: str = setting_field(
        "", "Engine Folder",
        "Where the engine is set up; on Windows a short path, since torch's own are long. Left empty: the folder for "
        "all", unit=FOLDER)
    in_thread: bool = setting_field(
        False, "Run Inside Blender",
        "Run the engine in a thread of Blender instead of a process of its own. For debugging: it needs torch in "
        "Blender's Python, and a crash or lack of memory takes Blender with it")
    output: str = setting_field("", "Output Folder",
                                "Where finished pictures are written. Left empty: the folder for all", unit=FOLDER)
    history_gb: float = setting_field(
        0.0, "History Size (GB)",
        "How much finished pictures may take on the disk. Beyond that the panel History offers to move the oldest to "
        "its trash, never favourites, and never by itself. 0 is no limit", low=0.0, high=1e6, soft_high=500.0, step=100,
        digits=1)
    model_folders: tuple[str, ...] = ()
    downloads: str = setting_field(
        "", "Download Folder", "Where models from the Hugging Face hub go. Left empty: the folder for all", unit=FOLDER)
    hub_token: str = field(default="", repr=False, metadata=setting_field(
        "", "Access Token",
        "Your access token of the Hugging Face hub, for models whose owner wants an account; made at "
        "huggingface.co/settings/tokens. It is kept in Blender's preferences, never in a .blend file. Left empty: the "
        "environment variable HF_TOKEN", unit=SECRET).metadata)
    styles: str = setting_field(
        "", "Style Folder",
        "Where styles of your own are kept, such as a folder that your studio shares. Left empty: the folder for all",
        unit=FOLDER)

    def changed(self, **changes: object) -> Config:
        """Return this configuration with `changes` made.

        Raises:
            InvalidRequest: There is no setting of that name, or the value is of another type, out of range or no
                choice.
        """
        known = {spec.name: str(spec.type) for spec in fields(Config)}
        for name in sorted(changes.keys() - known.keys()):
            raise InvalidRequest(f"There is no setting called '{name}'.", suggestion(name, known))
        return replace(self, **{name: _setting(name, known[name], value) for name, value in changes.items()})

    def differences(self, other: Config) -> frozenset[str]:
        """Return the names of the settings that differ from `other`'s."""
        return frozenset(spec.name for spec in fields(Config) if getattr(self, spec.name) != getattr(other, spec.name))

    def engine_config(self, credentials: str, digests: str) -> EngineConfig:
        """Return the part of the configuration that the engine reads, with the folder of the signing key and the file
        of digests."""
        own = {name: getattr(self, name) for name in _OF_ENGINE}
        return EngineConfig(**{**own, "credentials": credentials, "digests": digests})


def _setting(name: str, kind: str, value: Any) -> Any:
    """Return `value` as the field `name` of type `kind` holds it, paths as text. Raises InvalidRequest for another
    type."""
    value = checked_value(name, _TAKEN[kind], value)
    if kind == "str":
        return os.fspath(value)
    if kind == "bool":
        return bool(value)  # scripts set anything
    return tuple(map(os.fspath, value)) if kind.startswith("tuple") else value
