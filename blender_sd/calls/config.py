"""How the add-on runs on this machine: which interpreter, device and folders. `Runtime.config` holds it."""
from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Any

from ..core.errors import InvalidRequest
from ..core.names import suggestion
from ..protocol.messages import EngineConfig
from .arguments import checked_value

_TAKEN = {"str": str | os.PathLike, "tuple[str, ...]": Iterable[str | os.PathLike], "int": int,
          "float": float, "bool": bool | int}
_ENGINE_FIELDS = frozenset(spec.name for spec in fields(EngineConfig))
# What a running engine was started with.
OF_THE_ENGINE = _ENGINE_FIELDS | {"engine_python", "base", "engine_place", "in_thread"}
SEARCHED = frozenset({"model_folders", "downloads", "base"})  # where models and the like are looked for


@dataclass(frozen=True)
class Config:
    """`engine_python`: the interpreter that has torch and diffusers; "" = the environment variable SD_ENGINE_PYTHON,
    else the one that `install_engine` has set up, else Blender's own if it has them. `base`: folder with folders for
    the engine, models, pictures and styles, "" = the system's (`library.places`), used from the first set-up on.
    `engine_place`: folder for the engine that is set up, "" = the base's. `in_thread`: run the engine inside Blender's
    process. `output`: folder for finished pictures, "" = the base's, or the extension's own before a base is chosen and
    where pictures are there already; so are `downloads` and `styles`. `history_gb`: what they may take (GB, 10⁹ bytes)
    before the panel offers to move the oldest to the trash, 0 = no limit. `model_folders`: folders that hold models,
    LoRAs, ControlNets and wildcard lists. `downloads`: folder for models from the hub; models are looked for there too.
    `hub_token`: access token for the hub, "" = the environment variable HF_TOKEN. `styles`: folder for styles of one's
    own. `marking`: new pictures, and what uses them, are marked as generated. `credentials`: folder for the key that
    pictures are signed with, "" = the extension's own. The rest goes to the engine: see
    `protocol.messages.EngineConfig`."""

    engine_python: str = ""
    base: str = ""
    engine_place: str = ""
    in_thread: bool = False
    output: str = ""
    history_gb: float = 0.0
    model_folders: tuple[str, ...] = ()
    downloads: str = ""
    hub_token: str = field(default="", repr=False)
    styles: str = ""
    device: str = "auto"
    precision: str = "auto"
    threads: int = 0
    memory_mb: int = 0
    memory_use: str = "auto"
    preview_px: int = 256
    attention: str = "auto"
    compile: bool = False
    marking: bool = True
    credentials: str = ""
    certificate: str = ""
    private_key: str = ""
    safety_filter: str = ""
    safety_labels: str = ""
    safety_threshold: float = 0.5
    blocked_words: str = ""

    def changed(self, **changes: object) -> Config:
        """Return this configuration with `changes` made.

        Raises:
            InvalidRequest: There is no setting of that name, or the value is of another type.
        """
        known = [spec.name for spec in fields(Config)]
        for name in sorted(changes.keys() - set(known)):
            raise InvalidRequest(f"There is no setting called '{name}'.", suggestion(name, known))
        return replace(self, **{spec.name: _setting(spec.name, str(spec.type), changes[spec.name])
                                for spec in fields(Config) if spec.name in changes})

    def differences(self, other: Config) -> frozenset[str]:
        """Return the names of the settings that differ from `other`'s."""
        return frozenset(spec.name for spec in fields(Config) if getattr(self, spec.name) != getattr(other, spec.name))

    def engine_config(self, credentials: str) -> EngineConfig:
        """Return the part of the configuration that the engine reads; `credentials`: the folder of the signing key."""
        values = {spec.name: getattr(self, spec.name) for spec in fields(EngineConfig)}
        # scripts set anything
        switches = {spec.name: bool(values[spec.name]) for spec in fields(EngineConfig) if spec.type == "bool"}
        return EngineConfig(**{**values, **switches, "credentials": credentials})


def _setting(name: str, kind: str, value: Any) -> Any:
    """Return `value` as the field `name` of type `kind` holds it, paths as text. Raises InvalidRequest for another
    type."""
    value = checked_value(name, _TAKEN[kind], value)
    if kind == "str":
        return os.fspath(value)
    return tuple(map(os.fspath, value)) if kind.startswith("tuple") else value
