"""The folders of the add-on on this machine, as the configuration and the disk decide them."""
from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ..core.errors import OutputUnwritable
from ..library import engine_environment, files, places
from .config import Config
from .scene_access import has_blender


class Folders:
    """Where things lie. Paths may not exist yet unless a method says that it makes them.

    Args:
        config: Returns the configuration as it is now.
    """

    def __init__(self, config: Callable[[], Config]) -> None:
        self._config = config
        self._kept: dict[tuple[str, str, bool], Path] = {}  # see `_kept_in`

    def look_again(self) -> None:
        """Forget what was read from the disk, after an engine was set up or the configuration changed."""
        self._kept.clear()

    def base_folder(self) -> Path:
        """Return the folder with the engine's, models', pictures' and styles' folders."""
        base = self._config().base
        return Path(base).expanduser() if base else Path(places.base_folder())

    def base_is_chosen(self) -> bool:
        """Return whether a person or a script has chosen the base folder: by name, or in another Blender, which has
        left something in it."""
        return bool(self._config().base) or _holds_something(self.base_folder())

    def output_path(self) -> Path:
        """Return where finished pictures go. Nothing is read or made."""
        output = self._config().output
        return Path(output).expanduser() if output else self._kept_in("pictures", "output")

    def output_folder(self) -> Path:
        """Return the folder for finished pictures, made if missing. Raises OutputUnwritable."""
        folder = self.output_path()
        try:
            files.make_folders(str(folder), private=not self._config().output)  # pictures and logs hold prompts
        except OSError as error:
            raise OutputUnwritable(f"The output folder {folder} cannot be made.", "Choose another in the preferences.",
                                   repr(error)) from error
        if not os.access(folder, os.W_OK):
            raise OutputUnwritable(f"The output folder {folder} is read-only.", "Choose another in the preferences.")
        return folder

    def engine_place(self) -> Path:
        """Return where the engine is set up. Older versions set it up in the extension's own folder."""
        place = self._config().engine_place
        if place:
            return Path(place).expanduser()
        old = self.own_folder("engine")
        return old if engine_environment.read(str(old)) else self.base_folder() / "engine"

    def download_folder(self) -> Path:
        """Return where models from the hub go."""
        downloads = self._config().downloads
        return Path(downloads).expanduser() if downloads else self._kept_in("models", "models")

    def model_folders(self) -> tuple[str, ...]:
        """Return every folder in which models are looked for: that of downloads, those that the person named, and the
        cache that Hugging Face's libraries share."""
        folder, cache = self.download_folder(), _hub_cache()
        return (*((str(folder),) if folder.is_dir() else ()), *self._config().model_folders,
                *((str(cache),) if cache.is_dir() else ()))

    def style_folder(self) -> Path:
        """Return where the person's styles are kept."""
        styles = self._config().styles
        return Path(styles).expanduser() if styles else self._kept_in("styles", "styles")

    def credentials_folder(self) -> Path:
        """Return where the key is kept that pictures are signed with."""
        credentials = self._config().credentials
        return Path(credentials).expanduser() if credentials else self.own_folder("credentials")

    def own_folder(self, name: str) -> Path:
        """Return the folder or file `name` among the add-on's own, which go with the extension when it is
        uninstalled; without Blender, in the base folder."""
        if not has_blender():
            return self.base_folder() / "state" / name
        import bpy

        addon = __package__.rpartition(".")[0]
        if addon.startswith("bl_ext."):
            return Path(bpy.utils.extension_path_user(addon, path=name))
        return Path(bpy.utils.user_resource("DATAFILES", path="blender_sd")) / name

    def _kept_in(self, name: str, old: str) -> Path:
        """Return the folder `name` of the base once that is chosen; before, and where something lies there already, the
        extension's own `old`. The disk is asked once, until `look_again`: the history asks several times a second."""
        own, base = self.own_folder(old), self.base_folder()
        key = (str(own), str(base), bool(self._config().base))
        if key not in self._kept:
            self._kept[key] = base / name if self.base_is_chosen() and not _holds_something(own) else own
        return self._kept[key]


def _hub_cache() -> Path:
    """Return where huggingface_hub keeps what other programs have downloaded, by its documentation of environment
    variables."""
    home = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface")
    return Path(os.environ.get("HF_HUB_CACHE") or home / "hub").expanduser()


def _holds_something(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is not None
    except OSError:
        return False
