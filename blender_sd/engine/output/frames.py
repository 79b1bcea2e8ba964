"""The frames of a sequence on disk: numbered files that carry what they were made from, so that none is made twice."""
from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from ...core.image_origin import Origin
from ...core.request import Request
from ...library import files
from ...library.png import is_whole, read_head
from ...protocol import png_arrays
from ...protocol.serving import WRITING
from ...protocol.shot_names import name_of
from . import pictures

DIGEST_KEY = "blender_sd_frame"  # the text chunk with the digest of all that a frame was made from
_KEPT = ".sequence"


class FrameStore:
    """The output folder of a sequence, with its keyframes in a folder of its own inside."""

    def __init__(self, folder: str, views: Sequence[str] = ()) -> None:
        """Look at an existing folder for frames of a shot with `views`. Raise OutputUnwritable if it cannot take files.
        """
        self._folder, self._views = Path(folder), views
        pictures.check_folder(self._folder)
        self._keys = self._folder / _KEPT
        try:
            files.make_folder(str(self._keys))
        except OSError as error:
            raise pictures.unwritable(self._keys, error) from error

    def path(self, frame: int, key: bool = False) -> Path:
        """Return where a frame or a keyframe lies, whether it is there or not."""
        return (self._keys if key else self._folder) / f"{name_of(frame, self._views)}.png"

    def has(self, frame: int, digest: str, key: bool = False) -> bool:
        """Return whether a frame is there, whole, and made from what `digest` names."""
        path = self.path(frame, key)
        try:
            head = read_head(str(path)) if path.is_file() else None
        except OSError:
            return False
        return head is not None and head.text.get(DIGEST_KEY) == digest and is_whole(path)

    def read(self, frame: int) -> np.ndarray:
        """Return a keyframe, H×W×3 uint8."""
        with Image.open(self.path(frame, True)) as picture:
            return np.asarray(picture.convert("RGB"), np.uint8)

    def write_key(self, frame: int, picture: np.ndarray, digest: str) -> None:
        """Keep a keyframe, H×W×3 uint8. Raise OutputUnwritable."""
        texts = PngImagePlugin.PngInfo()
        texts.add_text(DIGEST_KEY, digest)
        self._write(self.path(frame, True), picture, texts)

    def write(self, frame: int, picture: np.ndarray, digest: str, request: Request, origin: Origin, marked: bool,
              sign: Callable[[bytes, str], bytes] | None) -> Path:
        """Write a finished frame and return its path.

        Args:
            frame: Its number.
            picture: H×W×3 or 4, uint8 or uint16, sRGB, straight alpha.
            digest: What it was made from.
            request, origin, marked, sign: As for `pictures.save`.

        Raises:
            OutputUnwritable: The folder is full or cannot be written.
        """
        path = self.path(frame)
        texts = pictures.texts_of(request, origin, marked)
        texts.add_text(DIGEST_KEY, digest)
        self._write(path, picture, texts, sign)
        return path

    def note(self, name: str, content: Any) -> None:
        """Keep something small, as JSON, for later runs. Raise OutputUnwritable."""
        self._put(self._keys / name, json.dumps(content).encode())

    def noted(self, name: str) -> Any:
        """Return what was kept under a name; None if there is nothing that can be read."""
        try:
            return json.loads((self._keys / name).read_bytes())
        except (OSError, ValueError, RecursionError):
            return None

    def _write(self, path: Path, picture: np.ndarray, texts: PngImagePlugin.PngInfo,
               sign: Callable[[bytes, str], bytes] | None = None) -> None:
        whole = io.BytesIO()
        png_arrays.write(picture, whole, [chunk[:2] for chunk in texts.chunks])
        self._put(path, whole.getvalue() if sign is None else sign(whole.getvalue(), path.name))

    def _put(self, path: Path, data: bytes) -> None:
        with WRITING:
            try:
                files.write_whole(os.fspath(path), data)
            except OSError as error:
                raise pictures.unwritable(path.parent, error) from error
