"""The contact sheet of a grid: its pictures side by side, labelled with the settings that change."""
from __future__ import annotations

import math

from PIL import Image, ImageDraw, ImageFont

from ...core.declarations import find
from ...core.request import Request

LONGEST = 512  # pixels; the longer side of a cell
_GAP = 8
_LABEL, _PIECE = 200, 24  # characters: longest label, and longest piece of a word on one line
WITHHELD = (128, 128, 128)  # grey, in place of a picture that the safety filter withheld
_BACK, _INK = (29, 29, 29), (230, 230, 230)  # the colours of Blender's dark theme


class Sheet:
    """Collect the pictures of a request with axes, in its order, as thumbnails."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._pictures: list[Image.Image] = []

    def add(self, picture: Image.Image) -> None:
        """Add the next picture."""
        small = picture.convert("RGB")
        small.thumbnail((LONGEST, LONGEST))
        self._pictures.append(small)

    def picture(self) -> Image.Image:
        """Return the sheet as an RGB image. Several images of a cell stand side by side in it."""
        across, *down = self._request.axes
        columns = self._request.count * len(across.options)
        rows = math.ceil(len(self._pictures) / columns)
        width, height = (max(picture.size[side] for picture in self._pictures) for side in (0, 1))
        font = ImageFont.load_default(max(11, min(20, width // 10)))
        column_labels = [_wrapped(label, font, width * self._request.count) for label in _labels(across)]
        row_labels = [_wrapped(label, font, max(96, width // 2)) for label in _labels(down[0])] if down else []
        left = max((_size(label, font)[0] for label in row_labels), default=0) + (_GAP if row_labels else 0)
        top = max(_size(label, font)[1] for label in column_labels) + _GAP
        sheet = Image.new("RGB", (left + columns * (width + _GAP) + _GAP, top + rows * (height + _GAP) + _GAP), _BACK)
        draw = ImageDraw.Draw(sheet)
        for number, label in enumerate(column_labels):
            draw.multiline_text((left + _GAP + number * self._request.count * (width + _GAP), _GAP // 2), label, _INK,
                                font)
        for number, label in enumerate(row_labels):
            draw.multiline_text((_GAP, top + _GAP + number * (height + _GAP)), label, _INK, font)
        for number, picture in enumerate(self._pictures):
            row, column = divmod(number, columns)
            sheet.paste(picture, (left + _GAP + column * (width + _GAP), top + _GAP + row * (height + _GAP)))
        return sheet


def _labels(axis) -> list[str]:
    start = "" if axis.setting == "prompt" else f"{find(axis.setting).setting.label} "
    return [start + (value if len(value) <= _LABEL else f"{value[:_LABEL]}…") for value in axis.options]


def _wrapped(text: str, font: ImageFont.ImageFont, width: int) -> str:
    """Return `text` in lines of at most `width` pixels, with long words broken up."""
    lines = [""]
    for word in (whole[start:start + _PIECE] for whole in text.split() for start in range(0, len(whole), _PIECE)):
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return "\n".join(lines)


def _size(text: str, font: ImageFont.ImageFont) -> tuple[int, int]:
    box = ImageDraw.Draw(Image.new("RGB", (1, 1))).multiline_textbbox((0, 0), text, font)
    return math.ceil(box[2]), math.ceil(box[3])
