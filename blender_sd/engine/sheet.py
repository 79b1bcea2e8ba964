"""The contact sheet of a grid: its pictures side by side, with what changes written beside them."""
from __future__ import annotations

import math

from PIL import Image, ImageDraw, ImageFont

from ..protocol.request import Request, setting

LONGEST = 512  # pixels of a cell's longer side
_GAP = 8
WITHHELD = (128, 128, 128)  # in place of a picture that the safety filter has kept back
_BACK, _INK = (29, 29, 29), (230, 230, 230)  # Blender's dark grey, and its text


class Sheet:
    """Takes the pictures of `request` (with axes) one by one, in its order, and keeps them small."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._pictures: list[Image.Image] = []

    def add(self, picture: Image.Image) -> None:
        """The next picture."""
        small = picture.convert("RGB")
        small.thumbnail((LONGEST, LONGEST))
        self._pictures.append(small)

    def picture(self) -> Image.Image:
        """The sheet, RGB. Several images of a cell stand side by side in it."""
        across, *down = self._request.axes
        columns = self._request.count * len(across.options)
        rows = math.ceil(len(self._pictures) / columns)
        width, height = (max(one.size[side] for one in self._pictures) for side in (0, 1))
        font = ImageFont.load_default(max(11, min(20, width // 10)))
        tops = [_wrapped(label, font, width * self._request.count) for label in _labels(across)]
        sides = [_wrapped(label, font, max(96, width // 2)) for label in _labels(down[0])] if down else []
        left = max((_size(label, font)[0] for label in sides), default=0) + (_GAP if sides else 0)
        top = max(_size(label, font)[1] for label in tops) + _GAP
        sheet = Image.new("RGB", (left + columns * (width + _GAP) + _GAP, top + rows * (height + _GAP) + _GAP), _BACK)
        draw = ImageDraw.Draw(sheet)
        for number, label in enumerate(tops):
            draw.multiline_text((left + _GAP + number * self._request.count * (width + _GAP), _GAP // 2), label, _INK, font)
        for number, label in enumerate(sides):
            draw.multiline_text((_GAP, top + _GAP + number * (height + _GAP)), label, _INK, font)
        for number, one in enumerate(self._pictures):
            row, column = divmod(number, columns)
            sheet.paste(one, (left + _GAP + column * (width + _GAP), top + _GAP + row * (height + _GAP)))
        return sheet


def _labels(axis) -> list[str]:
    if axis.setting == "prompt":
        return axis.options
    return [f"{setting(axis.setting).label} {value}" for value in axis.options]


def _wrapped(text: str, font: ImageFont.ImageFont, width: int) -> str:
    """`text` in lines of at most `width` pixels, where its words allow that."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return "\n".join(lines)


def _size(text: str, font: ImageFont.ImageFont) -> tuple[int, int]:
    box = ImageDraw.Draw(Image.new("RGB", (1, 1))).multiline_textbbox((0, 0), text, font)
    return math.ceil(box[2]), math.ceil(box[3])
