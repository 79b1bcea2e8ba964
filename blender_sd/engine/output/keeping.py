"""Write a job's results, and copies of its inputs, into its output folder; without one, results carry their pixels."""
from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ...core.errors import OutputUnwritable
from ...core.image_origin import Origin
from ...core.request import Request
from ...core.version import generator
from ...library import policy
from ...protocol.messages import EngineConfig, Result
from ...protocol.picture_arrays import pixels_of
from . import image_origin, pictures
from .content_credentials import Credentials

if TYPE_CHECKING:
    from ..job import Job


class Keeper:
    """Keep what jobs make, marked as the settings and the policy want it.

    Attributes:
        credentials: What signs the results; None where none are marked.
    """

    def __init__(self, config: EngineConfig) -> None:
        self._config, self._credentials = config, Credentials(config)

    @property
    def credentials(self) -> Credentials | None:
        return self._credentials if self._config.marking or policy.current().marking else None

    def check(self, job: Job) -> None:
        """Raise OutputUnwritable if the output folder cannot be written to; note what will be amiss in signatures."""
        if job.message.output:
            pictures.check_folder(Path(job.message.output))
            if self.credentials is not None:
                self.credentials.ready(job.note)

    def keep(self, job: Job, index: int, result: Result, image: Image.Image | np.ndarray, origin: Origin | None,
             deep: np.ndarray | None = None) -> Result:
        """Return a result with the file that it was written to, or with its pixels.

        Args:
            job: The job.
            index: Counts its results, from 1.
            result: The result.
            image: Its picture.
            origin: Where it is from; None if no model had a part in it.
            deep: See `protocol.light.DEEP_KEY`.
        """
        if not job.message.output:
            return replace(result, pixels=pixels_of(image))
        signer = self.credentials if origin is not None else None
        filtered = image.info if isinstance(image, Image.Image) else {}
        finished = image_origin.finished(origin or Origin(generator()), filtered)
        sign = signer and signer.signing(result.request, job.message.inputs, finished, job.note)
        try:
            path = str(pictures.save(image, Path(job.message.output), job.message.job, index, result.request, finished,
                                     signer is not None, sign, result.role, deep))
        except OutputUnwritable as error:  # the folder was fine before the painting, which may have taken long
            job.note(f"{error.message}. What could not be written is in the open file alone: save that, or the image.")
            return replace(result, pixels=pixels_of(image))
        return replace(result, path=path)

    def keep_inputs(self, job: Job, request: Request) -> None:
        """Write copies of the input pictures, by which a picture can be repeated from its settings."""
        for role, digest in request.inputs.items():
            if role in job.message.inputs and job.message.output:
                try:
                    pictures.save_input(job.message.inputs[role], digest, Path(job.message.output))
                except OutputUnwritable as error:  # no reason to discard the picture
                    job.note(f"{error.message}. No copy of the {role} image was kept, so the picture cannot be "
                             "repeated from its settings alone.")
