"""Define pictures as messages carry them: the input pictures of a request, and its results."""
from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..core.request import Request
from ..core.roles import MAPS, PICTURE, SHEET, SRGB


@dataclass(frozen=True, eq=False)
class Source:
    """An input picture of a request, as it is sent.

    Attributes:
        pixels: H×W×4 uint8, row 0 on top, sRGB as displayed, straight alpha; or None.
        encoded: The bytes of a PNG, JPEG, … file with the picture; or None.
    """

    pixels: np.ndarray | None = None
    encoded: bytes | None = None

    def digest(self) -> str:
        r"""Return its name in the request: "sha256:…" of the encoded bytes, or of "HxWxC\n" (ASCII) and the pixels."""
        if self.encoded is not None:
            return f"sha256:{hashlib.sha256(self.encoded).hexdigest()}"
        if self.pixels is None:
            raise ValueError("an input picture has neither pixels nor encoded bytes")
        digest = hashlib.sha256("x".join(map(str, self.pixels.shape)).encode("ascii") + b"\n")
        digest.update(np.ascontiguousarray(self.pixels).data.cast("B"))
        return f"sha256:{digest.hexdigest()}"


@dataclass(frozen=True)
class Result:
    """One finished picture.

    Attributes:
        path: Its file; "" if the request named no folder or that became unwritable.
        request: The picture's own request (`Request.single`).
        width, height: Its size in pixels.
        pixels: H×W×4 uint8, row 0 on top, straight alpha; only if there is no file.
        role: What it is: PICTURE, SHEET or CONTROL of `core.roles`.
        colour_space: How its values are meant: one of `core.roles.COLOUR_SPACES`.
        depth: Of a height map: the metres between black and white; 0 for all else.
        made_by: Of a material's map: what estimated it, in words; "" for all else.
    """

    path: str
    request: Request
    width: int
    height: int
    pixels: np.ndarray | None = field(default=None, compare=False, repr=False)
    role: str = PICTURE
    colour_space: str = SRGB
    depth: float = 0.0
    made_by: str = ""


def main_result(results: Sequence[Result]) -> Result | None:
    """Return the result that a person wants to see first: a grid's contact sheet, or else the first picture; None for
    no results."""
    return next(iter(sheet_first(results)), None)


def sheet_first(results: Sequence[Any]) -> list[Any]:
    """Return a grid's contact sheet, which is made last, first: it is what a person wants to see."""
    return sorted(results, key=lambda result: result.role != SHEET)


def main_results(results: Sequence[Result]) -> list[Result]:
    """Return the results that stand for a job: all but the maps of a material, for which its picture stands, or
    else its base colour."""
    maps = {result.role for result in results} & {*MAPS[1:]}
    hidden = {*MAPS} if maps and any(result.role == PICTURE for result in results) else {*MAPS[1:]}
    return [result for result in results if result.role not in hidden]
