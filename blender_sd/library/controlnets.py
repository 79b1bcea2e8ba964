"""The ControlNets in the model folders, read from their config.json, or from the header of a file that holds one alone.
Loads no weights.

A ControlNet in diffusers format is a folder with `config.json`, which tells its family, and its weights.
"""
from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass

from ..core.errors import ModelNotFound, ModelUnreadable
from ..core.families import ControlNet, controlnet_of
from ..core.names import name_key, suggestion
from ..core.nets import STARTER
from .checkpoints import STARTER_CONTROL_FOLDER, SUFFIX
from .model_folders import files_in, full_path, kind_at, name_of, places, read_json, refuse_elsewhere
from .models import ModelInfo

log = logging.getLogger("blender_sd")

CONFIG = "config.json"


@dataclass(frozen=True)
class ControlNetInfo:
    """Describe a ControlNet.

    Attributes:
        id: What `Control.model` takes: "starter" or the folder's path.
        name: What people call it.
        folder: The path of its folder.
        kind: The family that it steers, and the kinds of control picture that it tells apart.
    """

    id: str
    name: str
    folder: str
    kind: ControlNet

    @property
    def family(self) -> str:
        """The name of the family that it steers, as in `ModelInfo.family`."""
        return self.kind.family

    def fits(self, model: ModelInfo) -> bool:
        """Return whether it was made for models of this one's family."""
        return self.kind.fits(model.abilities)


def find_controlnets(folders: Iterable[str]) -> list[ControlNetInfo]:
    """The starter model's, where it is installed, and every readable one in `folders` or below."""
    folders = list(folders)
    nets: dict[str, ControlNetInfo] = {}
    for place in (STARTER_CONTROL_FOLDER, *(place for folder in folders for place in places(full_path(folder)))):
        real = os.path.realpath(place)
        if real not in nets and os.path.isfile(os.path.join(place, CONFIG)):
            try:
                nets[real] = read_controlnet(place)
            except ModelNotFound:
                continue  # another kind of model
            except ModelUnreadable as error:
                log.warning("%s %s", error, error.detail)
    for file in files_in(folders):
        if not os.path.isfile(os.path.join(os.path.dirname(file), CONFIG)) and (kind := _in_file(file)) is not None:
            nets.setdefault(os.path.realpath(file),
                            ControlNetInfo(file,
                                           os.path.splitext(os.path.basename(file))[0], file, kind))
    return sorted(nets.values(), key=lambda net: (net.id != STARTER, net.name.casefold(), net.folder))


def resolve_controlnet(name_or_path: str, folders: Iterable[str]) -> ControlNetInfo:
    """Return the ControlNet that a person means.

    Args:
        name_or_path: "starter", a folder's path, or a name as `find_controlnets` lists it.
        folders: The model folders.

    Raises:
        ModelNotFound: There is none; the hint suggests names.
        ModelUnreadable: It is a single file, or its config is broken.
    """
    wanted, folders = name_or_path.strip().strip("\"'"), list(folders)
    if wanted.lower() == STARTER:
        return read_controlnet(STARTER_CONTROL_FOLDER)
    refuse_elsewhere(wanted, folders)
    path = full_path(wanted)
    if wanted and os.path.isfile(path):
        kind = _in_file(path) if path.lower().endswith(SUFFIX) else None
        if kind is None:
            raise ModelUnreadable(f"{os.path.basename(path)} is no ControlNet that can be used here.",
                                  "Choose a ControlNet in the safetensors format.")
        return ControlNetInfo(path, os.path.splitext(os.path.basename(path))[0], path, kind)
    if wanted and os.path.isfile(os.path.join(path, CONFIG)):
        return read_controlnet(path)
    known = find_controlnets(folders)
    for net in known:
        if wanted and name_key(net.name) == name_key(wanted).removesuffix(SUFFIX):
            return net
    raise ModelNotFound(f"There is no ControlNet called '{wanted:.200}'.",
                        suggestion(wanted, (net.name for net in known),
                                   "Put its folder into one of the model folders."))


def _in_file(file: str) -> ControlNet | None:
    kind = kind_at(file)
    return kind.controlnet if kind is not None else None


def read_controlnet(folder: str) -> ControlNetInfo:
    """Read the ControlNet in `folder`. Raise ModelNotFound if there is none, ModelUnreadable if its config is broken.
    """
    folder = os.path.abspath(folder)
    if not os.path.isfile(os.path.join(folder, CONFIG)):
        raise ModelNotFound(f"The folder {folder} holds no ControlNet: it has no {CONFIG}.",
                            "Choose a folder in diffusers format.")
    config = read_json(folder, CONFIG)
    kind = controlnet_of(config)
    if kind is None:
        raise ModelNotFound(
            f"The folder {folder} holds no ControlNet that can be used here, but: {config.get('_class_name')!s:.80}.",
            "Choose a ControlNet in diffusers format.",
        )
    starter = os.path.realpath(folder) == os.path.realpath(STARTER_CONTROL_FOLDER)
    return ControlNetInfo(STARTER if starter else folder, "Starter" if starter else name_of(folder), folder, kind)
