"""Image → variations of it: planned as any picture over another one; the request's noise makes the walk."""
from __future__ import annotations

from .image_to_image import prepare

__all__ = ["prepare"]
