"""Look up what the keywords of a request name, in the model folders."""
from __future__ import annotations

from collections.abc import Callable, Iterable

from ..core.style_format import Style
from . import wildcards
from .adapters import NamedFile, resolve_file
from .models import ModelInfo, resolve_model
from .styles import StyleFolder


class FolderLookUps:
    """Find models, nets and lists in folders; a `core.request_builder.LookUps`.

    Args:
        folders: Returns the model folders.
        styles: Returns the styles.
    """

    def __init__(self, folders: Callable[[], Iterable[str]], styles: Callable[[], StyleFolder]) -> None:
        self.folders = folders
        self._styles = styles

    def model(self, name: str) -> ModelInfo:
        """Return the model of that name or path. Raise ModelNotFound, ModelUnreadable."""
        return resolve_model(name, self.folders())

    def digest(self, model: ModelInfo) -> str:
        """Return "": the engine computes it."""
        return ""

    def style(self, name: str) -> Style:
        """Return the style of that name, in any case. Raise StyleUnusable."""
        return self._styles().find(name)

    def file(self, kind: str, name: str) -> NamedFile:
        """Return the file of a net. Raise ModelNotFound, ModelUnreadable."""
        return resolve_file(kind, name, self.folders())

    def options(self, name: str) -> list[str]:
        """Return the options of the list that a prompt names. Raise InvalidRequest."""
        if "*" in name or "?" in name:
            return wildcards.read_lists(name, self.folders(), [])
        return wildcards.read_list(name, self.folders(), ())
