"""Resolve each model, net and filter that a request names, once, to the real path of its files.

What is checked (by the policy, the safety filter and for its licence, and whether it is the starter) is then what is
opened: later code uses only the real path and never the name. As text `a/link/../b` is `a/b`, but opening it leads to a
file beside the link's target, and a link can be replaced between a check and the opening.
"""
from __future__ import annotations

import dataclasses
import os

from ..core.errors import InvalidRequest, ModelNotFound, SDError
from ..core.request import Request
from ..protocol.messages import Generate
from ..core.nets import STARTER
from .checkpoints import STARTER_CONTROL_FOLDER, STARTER_FOLDER, STARTER_UPSCALER_FILE
from .own_files import BLOBS, SNAPSHOTS


@dataclasses.dataclass(frozen=True)
class Resolved:
    """A message to paint whose paths are resolved.

    Attributes:
        message: The message; its `folder`, its `base_model` and the request's nets are real paths, also the built-in
            ones.
        missing: The error to raise, once the policy was checked, because something did not exist when it was resolved.
    """

    message: Generate
    missing: SDError | None = None

    @property
    def request(self) -> Request:
        return self.message.request


def real(place: str) -> str:
    """Return the absolute path of `place` without any link in it. Raise ModelNotFound for an empty name.

    A file of Hugging Face's cache keeps its name in the snapshot, where it is a link to the cache's own `blobs`.
    """
    if not place.strip() or "\0" in place:
        raise ModelNotFound("No model is named.", "Choose one.")
    path = os.path.realpath(place)
    repository, blobs = os.path.split(os.path.dirname(path))
    if blobs == BLOBS:
        head, name = os.path.split(place)
        beside = os.path.join(os.path.realpath(head), name)
        if beside.startswith(os.path.join(repository, SNAPSHOTS, "")):
            return beside
    return path


def model(name: str) -> str:
    """Return the real path of the model that a request calls `name`."""
    return real(STARTER_FOLDER if name == STARTER else name)


def is_starter(path: str) -> bool:
    """Return whether the real path `path` is that of the built-in model."""
    return path == os.path.realpath(STARTER_FOLDER)


def is_starter_control(path: str) -> bool:
    """Return whether `path` is the real path or the name of the built-in ControlNet."""
    return path in (STARTER, os.path.realpath(STARTER_CONTROL_FOLDER))


def resolve(message: Generate) -> Resolved:
    """Resolve all paths of a message to paint.

    Raises:
        ModelNotFound: A name is empty.
        InvalidRequest: The request names the built-in model, but the message another one.
    """
    request, folder = message.request, real(message.folder)
    if request.model == STARTER and not is_starter(folder):
        raise InvalidRequest("The request asks for the built-in model, but another model was given.",
                             "Choose the model again.", message.folder)
    real_request = dataclasses.replace(
        request,
        loras=tuple(dataclasses.replace(lora, file=real(lora.file)) for lora in request.loras if lora.counts),
        controls=tuple(dataclasses.replace(control, model=real(place_of("ControlNet", control.model)))
                       if control.weight else control
                       for control in request.controls),
        embeddings=tuple(dataclasses.replace(embedding, file=real(embedding.file)) for embedding in request.embeddings),
        ip_adapter=request.ip_adapter and real(request.ip_adapter), vae=request.vae and real(request.vae))
    if hasattr(request.task, "upscaler"):
        real_request = real_request.changed(upscaler=request.upscaler and real(place_of("upscaler", request.upscaler)))
    real_message = dataclasses.replace(message, request=real_request, folder=folder,
                                       base_model=message.base_model and real(message.base_model))
    return Resolved(real_message, _missing(real_message))


def _missing(message: Generate) -> SDError | None:
    for path in filter(None, (message.folder, message.base_model)):
        if not os.path.exists(path):
            return ModelNotFound(f"There is no model folder at {path}.", "Choose another model.")
    for kind, path in used(message.request):
        if not os.path.exists(path):
            what = "ControlNet in" if kind == "ControlNet" else f"{kind} file"
            return ModelNotFound(f"There is no {what} '{path}'.", "Choose another one.")
    return None


def used(request: Request) -> list[tuple[str, str]]:
    """Return the nets that take part beside the model, each with its kind and its file or folder.

    Those of weight 0 do not take part.
    """
    taking_part = dataclasses.replace(
        request, loras=tuple(lora for lora in request.loras if lora.counts),
        controls=tuple(control for control in request.controls if control.weight))
    return [(kind, place_of(kind, name)) for kind, name in taking_part.nets]


def place_of(kind: str, name: str) -> str:
    """Return the file or folder of a net that a request names: its name, except for the built-in ones.

    Args:
        kind: As in `Request.nets`.
        name: The name in the request.
    """
    return _BUILT_IN.get(kind, name) if name == STARTER else name


_BUILT_IN = {"ControlNet": STARTER_CONTROL_FOLDER, "upscaler": STARTER_UPSCALER_FILE}  # nets that are called "starter"
