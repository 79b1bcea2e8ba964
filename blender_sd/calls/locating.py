"""Find on this machine what a request from another one names: the model by its content, then by its name; nets by name.
"""
from __future__ import annotations

import os
from dataclasses import replace

from ..core.errors import ModelNotFound, SDError
from ..core.names import suggestion
from ..core.nets import EMBEDDING, IP_ADAPTER, LORA, STARTER, UPSCALER, VAE
from ..core.request import Request
from ..library.adapters import name_of, resolve_file
from ..library.controlnets import resolve_controlnet
from ..library.model_folders import refuse_elsewhere
from ..library.models import ModelInfo
from ..library.paths import is_elsewhere
from .runtime import runtime


def located(request: Request) -> tuple[Request, ModelInfo, list[str]]:
    """Return a request with the model and nets where this machine has them, the model, and notes on what was found by
    its name alone.

    Raises:
        ModelNotFound: Something is not here.
    """
    notes: list[str] = []
    info = located_model(request)
    if info.id != request.model and not (
            request.model_digest and runtime.digests.known(os.path.realpath(info.folder)) == request.model_digest):
        notes.append(f"The model '{info.name}' was found by its name.")

    def net(kind: str, path: str) -> str:
        if not path or path == STARTER or not is_elsewhere(path, folders) and os.path.exists(path):
            return path
        try:
            if kind == "controlnet":
                here = resolve_controlnet(name_of(path), folders).id
            else:
                here = resolve_file(kind, name_of(path), folders).file
        except SDError:
            refuse_elsewhere(path, folders)
            raise
        notes.append(f"'{name_of(path)}' was found by its name.")
        return here

    folders = runtime.folders.model_folders()
    made = request.changed(
        model=info.id, ip_adapter=net(IP_ADAPTER, request.ip_adapter), vae=net(VAE, request.vae),
        loras=tuple(replace(lora, file=net(LORA, lora.file)) for lora in request.loras),
        embeddings=tuple(replace(word, file=net(EMBEDDING, word.file)) for word in request.embeddings),
        controls=tuple(replace(control, model=net("controlnet", control.model)) for control in request.controls))
    if made.upscaler:
        made = made.changed(upscaler=net(UPSCALER, made.upscaler))
    return made, info, notes


def located_model(request: Request) -> ModelInfo:
    """Return the model of a request on this machine: the one that is known to have the same content, that where the
    request says first; else what lies there; else the one of the same name. Raises ModelNotFound."""
    there: ModelInfo | None = None
    problem: SDError | None = None
    try:
        there = runtime.models.find(request.model)
    except SDError as error:
        problem = error
    if request.model == STARTER or not request.model_digest and there is not None:
        if there is None:
            raise problem or ModelNotFound("The starter model is not here.")
        return there
    if there is not None and runtime.digests.known(os.path.realpath(there.folder)) == request.model_digest:
        return there
    same = set(runtime.digests.places_of(request.model_digest)) if request.model_digest else set()
    listed = runtime.models.all()
    for info in listed:
        if os.path.realpath(info.folder) in same:
            return info
    if there is not None:
        return there  # the engine notes it if the content is another
    for info in listed:
        if request.model_name and info.name == request.model_name:
            return info
    name = request.model_name or name_of(request.model)
    raise ModelNotFound(f"The model '{name}' is not on this computer.",
                        suggestion(name, (info.name for info in listed), "Add its folder in the preferences."),
                        str(problem))
