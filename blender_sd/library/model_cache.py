"""The models that can be chosen, read once and kept until the model folders may hold something else."""
from __future__ import annotations

import logging
import os
from collections.abc import Callable

from ..core import vocabulary
from ..core.vocabulary import Vocabulary
from ..core.nets import STARTER
from .checkpoints import STARTER_FOLDER
from .marigold import Weights
from .models import ModelInfo, Unusable, resolve_model, survey

log = logging.getLogger("blender_sd")


class ModelCache:
    """The built-in model and those in the model folders.

    Args:
        folders: Returns the model folders as they are now.
    """

    def __init__(self, folders: Callable[[], tuple[str, ...]]) -> None:
        self._folders = folders
        self._models: list[ModelInfo] | None = None
        self._unusable: tuple[Unusable, ...] = ()
        self._marigold: tuple[Weights, ...] = ()
        self._vocabulary: Vocabulary | None = None  # the built-in model's, once the models were read

    def all(self) -> list[ModelInfo]:
        """Return the models, the built-in one first. Reads the folders unless they are known."""
        if self._models is None:
            found = survey(self._folders())
            self._models, self._unusable = found.models, tuple(found.unusable)
            self._marigold = tuple(found.marigold)
            self._vocabulary = self._vocabulary or _read_vocabulary()
        return self._models

    def forget(self) -> None:
        """Read the folders again when the models are next asked for."""
        self._models = None

    def find(self, name_or_path: str) -> ModelInfo:
        """Return the model of that name, id or folder. Raises ModelNotFound, ModelUnreadable."""
        known = {info.id: info for info in self.all()}
        return known.get(name_or_path) or resolve_model(name_or_path, self._folders())

    def known(self) -> list[ModelInfo]:
        """Return the models that were last read. Reads nothing."""
        return self._models or []

    def unusable(self) -> tuple[Unusable, ...]:
        """Return what looked like a model when the folders were last read and cannot be used. Reads nothing."""
        return self._unusable

    def marigold(self) -> tuple[Weights, ...]:
        """Return Marigold's weights that were in the folders when they were last read. Reads nothing."""
        return self._marigold

    def vocabulary(self, model: str) -> Vocabulary | None:
        """Return the words that the model of that id knows; None for models that know all kinds of words. Reads
        nothing."""
        return self._vocabulary if model == STARTER else None


def _read_vocabulary() -> Vocabulary | None:
    try:
        with open(os.path.join(STARTER_FOLDER, vocabulary.FILE), "rb") as file:
            return vocabulary.read(file.read())
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("the built-in model's vocabulary cannot be read: %r", error)
        return None
