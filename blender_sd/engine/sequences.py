"""Carry out an order for frames of a shot: paint them, write each to disk with its origin, and report it."""
from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image

from ..core.errors import InvalidRequest
from ..core.image_origin import COMPOSITE, Origin
from ..library.content_digests import ContentDigests
from ..library.model_paths import Resolved
from ..library.policy import Policy
from ..protocol.messages import EngineConfig, FrameDone
from ..protocol.shots import Shot
from .job import Job
from .models.identity import Identity
from .output import image_origin
from .output.content_credentials import Credentials
from .output.frames import FrameStore
from .painter import Painter
from .sequence_painter import SequencePainter


def restyle(job: Job, resolved: Resolved, rules: Policy, config: EngineConfig, painter: Painter,
            digests: ContentDigests, credentials: Credentials | None) -> None:
    """Make the wanted frames, in order; `FrameDone` reports each once it is on disk.

    Args:
        job: The job; its message names the shot and the output folder.
        resolved: Its message with real paths.
        rules, config, painter: As for `ObjectPainter`.
        digests: Of the contents of models.
        credentials: Signs the files; None if they do not say that a model painted them.

    Raises:
        SDError: The shot cannot be read, a frame cannot be painted or written, or the job was cancelled.
    """
    message = job.message
    if message.shot is None or not message.output:
        raise InvalidRequest("An animation cannot be restyled again from its settings: they hold no frames.",
                             "Choose the frames and press Restyle Animation.")
    if credentials is not None:
        credentials.ready(job.note)
    identity = Identity(digests, resolved.message.folder, job.check)
    store = FrameStore(message.output, Shot(message.shot.folder).info.views)
    work = SequencePainter(painter, job, resolved, rules, config, store)
    total, noted = work.total, set[str]()
    origin: Origin | None = None
    for done, frame in enumerate(work.frames(), start=1):
        request = frame.request
        if frame.picture is not None and not message.shot.keys_only:
            model = work.loaded()
            request = identity.of(request, model.name, noted.add)
            origin = origin or replace(image_origin.origin_of(model, resolved.request), kind=COMPOSITE)
            finished = image_origin.finished(origin, {})
            sign = credentials and credentials.signing(request, message.inputs, finished, job.note)
            store.write(frame.number, frame.picture, frame.digest, request, finished, credentials is not None, sign)
        path = store.path(frame.number, message.shot.keys_only)
        small = None
        if config.preview_px > 0:
            with Image.open(path) as picture:
                small = _small(picture if frame.picture is None else _shown(frame.picture), config.preview_px)
        job.emit(FrameDone(message.job, frame.number, str(path), done, total, frame.key, small))
    for text in noted:
        job.note(text)


def _shown(picture: np.ndarray) -> Image.Image:
    return Image.fromarray(picture if picture.dtype == np.uint8 else (picture >> 8).astype(np.uint8))


def _small(picture: Image.Image, longest: int) -> np.ndarray:
    """Return a preview, h×w×3 uint8."""
    small = picture.convert("RGB")
    small.thumbnail((longest, longest))
    return np.asarray(small)
