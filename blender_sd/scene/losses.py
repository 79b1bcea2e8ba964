"""What is lost of an image: where a result takes its place, and where it is used as a picture of 8 bits."""
from __future__ import annotations

import os

import bpy

from .screens import RENDERED

_OF_LIGHT = (".exr", ".hdr")  # how files with a wider range of light end
_WHOLE = ("PNG", "TIFF", "JPEG2000", "DPX", "CINEON")  # formats of whole numbers, which end at white


def loss_of(image: bpy.types.Image) -> str:
    """Return what is lost if a result replaces `image`, in a sentence; "" for nothing worth mentioning."""
    if image.source == "SEQUENCE":
        return (f"'{image.name}' is an image sequence, and one picture takes the place of all its frames; it stays in "
                "the file.")
    if image.source == "MOVIE":
        return f"'{image.name}' is a movie, and one picture takes the place of all its frames; it stays in the file."
    if image.type in RENDERED or not image.has_data and not image.filepath_raw.lower().endswith(_OF_LIGHT):
        return ""
    if _holds_light(image):
        return (f"'{image.name}' holds a wider range of light (HDR) than the result in its place, which has 8 bits; it "
                "stays in the file.")
    return ""


def clipped_light(source: object) -> str:
    """Return a note if a source, an image or a file, can hold light that is brighter than white; else ""."""
    if isinstance(source, bpy.types.Image):
        if source.type in RENDERED or not _holds_light(source):
            return ""
        name = source.name
    elif isinstance(source, (str, os.PathLike)) and os.fspath(source).lower().endswith(_OF_LIGHT):
        name = os.path.basename(os.fspath(source))
    else:
        return ""
    return f"'{name}' holds a wider range of light (HDR) than is used here: what is brighter than white is clipped."


def _holds_light(image: bpy.types.Image) -> bool:
    """Return whether an image can have colours brighter than white, as files of 16 whole bits cannot."""
    return (image.is_float and not image.colorspace_settings.is_data
            and (image.source == "GENERATED" or image.file_format not in _WHOLE))
