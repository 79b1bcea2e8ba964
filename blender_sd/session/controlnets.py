"""The ControlNets in the model folders, read from their config.json. Loads no weights.

A ControlNet in diffusers format is a folder with `config.json`, from which its family is told, and its weights.
"""
from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass

from ..protocol.checkpoints import STARTER, STARTER_CONTROL_FOLDER
from ..protocol.errors import ModelNotFound, ModelUnreadable
from ..protocol.families import ControlNet, controlnet_of
from .folders import full_path, name_of, places, read_json, refuse_elsewhere
from .library import ModelInfo

log = logging.getLogger("blender_sd")

CONFIG = "config.json"


@dataclass(frozen=True)
class ControlNetInfo:
    """One ControlNet. `id` is what `Control.model` takes: "starter" or the folder's path. `kind`: which family it steers, and
    which kinds of control picture it tells apart."""

    id: str
    name: str
    folder: str
    kind: ControlNet

    @property
    def family(self) -> str:
        """The family of models that it steers, as `ModelInfo.family` calls it."""
        return self.kind.family

    def fits(self, model: ModelInfo) -> bool:
        """Whether it was made for models of this one's family."""
        return self.kind.fits(model.abilities)


def find_controlnets(folders: Iterable[str]) -> list[ControlNetInfo]:
    """The starter model's, where it is installed, and every readable one in `folders` or up to two levels below."""
    found: dict[str, ControlNetInfo] = {}
    for place in (STARTER_CONTROL_FOLDER, *(place for folder in folders for place in places(full_path(folder)))):
        real = os.path.realpath(place)
        if real not in found and os.path.isfile(os.path.join(place, CONFIG)):
            try:
                found[real] = read_controlnet(place)
            except ModelNotFound:
                continue  # another kind of model
            except ModelUnreadable as error:
                log.warning("%s %s", error, error.detail)
    return sorted(found.values(), key=lambda net: (net.id != STARTER, net.name.casefold(), net.folder))


def resolve_controlnet(name_or_path: str, folders: Iterable[str]) -> ControlNetInfo:
    """The ControlNet that a person means: "starter", a folder's path, or a name as `find_controlnets` lists it. Raises
    ModelNotFound (the hint lists what there is) and ModelUnreadable."""
    wanted, folders = name_or_path.strip().strip("\"'"), list(folders)
    if wanted.lower() == STARTER:
        return read_controlnet(STARTER_CONTROL_FOLDER)
    refuse_elsewhere(wanted, folders)
    path = full_path(wanted)
    if wanted and os.path.isfile(path):
        raise ModelUnreadable(f"{os.path.basename(path)} is a single file, not a ControlNet's folder.",
                              "Choose a folder in diffusers format.")
    if wanted and os.path.isfile(os.path.join(path, CONFIG)):
        return read_controlnet(path)
    known = find_controlnets(folders)
    for net in known:
        if wanted and net.name.casefold() == wanted.casefold():
            return net
    names = ", ".join(net.name for net in known[:12])
    raise ModelNotFound(f"There is no ControlNet called '{wanted:.200}'.",
                        f"There is: {names}." if names else "Put its folder into one of the model folders.")


def read_controlnet(folder: str) -> ControlNetInfo:
    """What the ControlNet in `folder` is. Raises ModelNotFound where there is none, ModelUnreadable for a broken config."""
    folder = os.path.abspath(folder)
    if not os.path.isfile(os.path.join(folder, CONFIG)):
        raise ModelNotFound(f"The folder {folder} holds no ControlNet: it has no {CONFIG}.", "Choose a folder in diffusers format.")
    config = read_json(folder, CONFIG)
    kind = controlnet_of(config)
    if kind is None:
        raise ModelNotFound(f"The folder {folder} holds no ControlNet that can be used here, but: {config.get('_class_name')!s:.80}.",
                            "Choose a ControlNet in diffusers format.")
    starter = os.path.realpath(folder) == os.path.realpath(STARTER_CONTROL_FOLDER)
    return ControlNetInfo(STARTER if starter else folder, "Starter" if starter else name_of(folder), folder, kind)
