"""Remember which models' licences a person has accepted, in a small JSON file: {"owner/name": "licence"}."""
from __future__ import annotations

import json
import logging
import os

from .files import make_folders, write_whole

log = logging.getLogger("blender_sd")


class Licences:
    """Hold the accepted licences, read once from the file `path` and written at each change."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._accepted: dict[str, str] = {}
        try:
            with open(path, encoding="utf-8") as file:
                read = json.load(file)
        except FileNotFoundError:
            return
        except (OSError, ValueError, RecursionError) as error:
            log.warning("the accepted licences cannot be read, and are asked for again: %s", error)
            return
        if isinstance(read, dict):
            self._accepted = {str(repo): str(licence) for repo, licence in read.items()}

    def __contains__(self, repo: str) -> bool:
        return repo in self._accepted

    def accept(self, repo: str, licence: str) -> None:
        """Remember that the person has accepted `licence` for `repo`."""
        if self._accepted.get(repo) == licence:
            return
        self._accepted[repo] = licence
        try:
            make_folders(os.path.dirname(self._path))
            write_whole(self._path, json.dumps(self._accepted, indent=1, ensure_ascii=False).encode())
        except OSError as error:
            log.warning("the accepted licence of %s cannot be remembered: %s", repo, error)
