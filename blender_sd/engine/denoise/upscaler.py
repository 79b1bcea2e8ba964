"""The interface of upscalers: networks that enlarge a picture by a fixed factor, piece by piece (`upscalers`)."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from ...core.request import Request

Check = Callable[[], None]


@dataclass(frozen=True)
class Pieces:
    """How an upscaler takes a picture, in pixels of the picture.

    Attributes:
        side: Side of a piece.
        margin: Pixels at each edge of a piece whose result is discarded.
        overlap: Pixels by which the remaining parts overlap.
        multiple: Sides are multiples of this.
    """

    side: int
    margin: int
    overlap: int
    multiple: int = 1


class Upscaler:
    """A network that enlarges.

    Attributes:
        name: The name for messages.
        scale: The factor of both sides.
        pieces: How it takes pictures.
        repeats: Whether it may go over its own result once more where a picture is enlarged further than by `scale`.
    """

    name: str
    scale: int
    pieces: Pieces
    repeats: bool = False

    def enlarged(self, piece: Image.Image, number: int, request: Request, check: Check) -> Image.Image:
        """Return a piece of a picture exactly `scale` times as large.

        Args:
            piece: The piece, RGB.
            number: The piece's number in the picture, from 0.
            request: The picture's request; some upscalers read its prompt, steps and seed.
            check: Called often; may raise to cancel.
        """
        raise NotImplementedError
