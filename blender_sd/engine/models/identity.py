"""Compute the digest of the model that paints, while it paints."""
from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from ...core.errors import JobCancelled
from ...core.request import Request
from ...library.content_digests import ContentDigests

log = logging.getLogger(__name__)
_LOOK = 0.1  # seconds between looks whether the job was cancelled


class Identity:
    """The content of the model in `folder`, read by a thread of its own.

    Args:
        digests: Computes it, if it is not known yet.
        folder: The model's folder or file, a real path.
        check: Called from that thread too; raises JobCancelled to stop.
    """

    def __init__(self, digests: ContentDigests, folder: str, check: Callable[[], None]) -> None:
        self._digest = ""
        self._check = check
        self._thread = threading.Thread(target=self._read, args=(digests, folder), daemon=True, name="digest")
        self._thread.start()

    def _read(self, digests: ContentDigests, folder: str) -> None:
        try:
            self._digest = digests.digest(folder, self._check)
        except JobCancelled:
            pass  # the next picture of the model begins again
        except OSError as error:
            log.warning("the content of %s cannot be read: %r", folder, error)

    def of(self, request: Request, name: str, note: Callable[[str], None]) -> Request:
        """Return a picture's request with the model's name and digest, once the content was read.

        Args:
            request: The request; if it names another content, that is noted.
            name: The model's name.
            note: Takes a text for the artist.

        Raises:
            JobCancelled: The job was cancelled meanwhile.
        """
        while self._thread.is_alive():
            self._check()
            self._thread.join(_LOOK)
        if request.model_digest and self._digest and request.model_digest != self._digest:
            note(f"The model '{name}' is not the one that these settings were made with: its files have another "
                 "content, so the picture may differ.")
        return request.changed(model_name=name, model_digest=self._digest or request.model_digest)
