"""Know how much memory a bake, or views that are painted together, need before they start."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from ..core.errors import OutOfMemory
from .sheets import Sheet

_TEXEL = 170  # bytes for a texel: its entry in the table, the sums over the views, the image
_PIXEL = 24  # bytes for a picture's pixel: its colour and the triangle that it sees
_READY = 96  # bytes for one that is ready to be read, or being made ready
HELD = 1 << 24  # pixels of the pictures that are held ready at once
_TRIANGLE = 900  # bytes for a triangle: corners, normals, edges, embree's tree
_SPARE = 200 << 20  # what is needed in any case
_SEEN = 100  # bytes for a pixel of a view that is painted: what it sees, and its pictures
_LINKED = 310  # bytes for one whose links to other views' pixels are found and composed (180 measured, 130 of arrays)


def needed(sheets: Iterable[Sheet], pixels: int, triangles: int) -> int:
    """Return the bytes that a bake needs at most.

    Args:
        sheets: The images to bake.
        pixels: Of all pictures together.
        triangles: Of all objects in view.
    """
    texels = sum(sheet.width * sheet.height for sheet in sheets)
    return texels * _TEXEL + pixels * _PIXEL + min(pixels, HELD) * _READY + triangles * _TRIANGLE + _SPARE


def check(sheets: Sequence[Sheet], pixels: int, triangles: int, available: int) -> None:
    """Raise OutOfMemory if a bake does not fit into `available` bytes; its hint names a size that does."""
    wanted = needed(sheets, pixels, triangles)
    if wanted <= available:
        return
    largest = max(sheets, key=lambda sheet: sheet.width * sheet.height)
    smaller = list(sheets)
    while max(sheet.width for sheet in smaller) > 256:
        smaller = [replace(one, width=max(1, one.width // 2), height=max(1, one.height // 2)) for one in smaller]
        if needed(smaller, pixels, triangles) <= available:
            size = max(smaller, key=lambda sheet: sheet.width * sheet.height)
            hint = f"Images of {size.width} × {size.height} would fit."
            break
    else:
        hint = "Close other programs, or bake fewer objects at once."
    raise OutOfMemory(f"Baking {largest.width} × {largest.height} texels needs about {wanted / 2**30:.1f} GB of "
                      f"memory; {available / 2**30:.1f} GB are free.", hint)


def check_views(count: int, width: int, height: int, available: int) -> None:
    """Raise OutOfMemory if `count` views do not fit into `available` bytes; its hint names a size that does."""
    wanted = count * width * height * _SEEN + _SPARE
    if wanted <= available:
        return
    side = int((max(0, available - _SPARE) / _SEEN / count) ** 0.5) // 64 * 64
    raise OutOfMemory(f"{count} views of {width} × {height} need about {wanted / 2**30:.1f} GB of memory; "
                      f"{available / 2**30:.1f} GB are free.",
                      f"Views of {side} × {side} would fit." if side else "Choose fewer views.")


def links_fit(count: int, width: int, height: int, available: int) -> bool:
    """Return whether the pixels of `count` views of that size, which are there already, can be linked to each other."""
    return count * width * height * _LINKED + _SPARE <= available
