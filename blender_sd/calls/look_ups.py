"""Look up what the keywords of a call name: in the model folders, the styles, and the open file's text blocks."""
from __future__ import annotations

import os

from ..core.errors import InvalidRequest
from ..library import wildcards
from ..library.look_ups import FolderLookUps
from ..library.models import ModelInfo
from .runtime import runtime


class LookUps(FolderLookUps):
    """Find also what lies in Blender's open file, and know the models that were read already."""

    def model(self, name: str) -> ModelInfo:
        return runtime.models.find(name)

    def digest(self, model: ModelInfo) -> str:
        return runtime.digests.known(os.path.realpath(model.folder))

    def options(self, name: str) -> list[str]:
        """Return the lines of a text block of that name, or else of a file. Raise InvalidRequest."""
        scene = runtime.scene
        if "*" in name or "?" in name:
            texts = [scene.text_named(key) or "" for key in wildcards.matching(name, scene.text_names())]
            return wildcards.read_lists(name, self.folders(),
                                        [line for text in texts for line in wildcards.options(text)])
        text = scene.text_named(name)
        options = wildcards.options(text) if text is not None else wildcards.read_list(name, self.folders(),
                                                                                       scene.text_names())
        if not options:
            raise InvalidRequest(f"The text block '{name}' is empty.", "Give it one option a line.")
        return options


LOOK_UPS = LookUps(lambda: runtime.folders.model_folders(), lambda: runtime.styles)
