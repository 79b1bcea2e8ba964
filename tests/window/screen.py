"""A screen without a monitor: Xvfb with a window manager, hands (xdotool) and eyes (Pillow and tesseract)."""
from __future__ import annotations

import csv
import difflib
import io
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageChops, ImageFilter, ImageGrab, ImageOps

Box = tuple[int, int, int, int]  # left, top, right, bottom in screen pixels, row 0 on top
GOOD = 0.8  # how alike two texts must be (difflib's ratio) to be taken for the same
EXACT = 0.999  # the same for texts with digits in them, where one letter makes the difference
_OPENBOX = """<?xml version="1.0"?><openbox_config xmlns="http://openbox.org/3.4/rc"><applications>
<application class="*"><decor>no</decor><maximized>yes</maximized><focus>yes</focus></application>
</applications></openbox_config>"""


class Screen:
    """One private X display of `width`×`height` pixels. Windows are shown over the whole of it, without a frame."""

    def __init__(self, folder: Path, width: int = 1600, height: int = 1000) -> None:
        self.width, self.height = width, height
        self._processes: list[subprocess.Popen] = []
        self._log = open(folder / "screen.log", "ab")  # noqa: SIM115 (closed by close())
        self.display = ""
        try:
            self.display = self._start_x()
            self._start_window_manager(folder)
        except BaseException:
            self.close()
            raise

    def _start_window_manager(self, folder: Path) -> None:
        config = folder / "openbox.xml"
        config.write_text(_OPENBOX, encoding="utf-8")
        self._start("openbox", "--sm-disable", "--config-file", str(config))

    def _start(self, *command: str, **options) -> subprocess.Popen:
        environment = {**os.environ, "DISPLAY": self.display}
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, **options)
        self._processes.append(process)
        return process

    def _start_x(self) -> str:
        """Xvfb finds a free display itself and names it once it takes connections."""
        reader, writer = os.pipe()
        self._start("Xvfb", "-displayfd", str(writer), "-screen", "0", f"{self.width}x{self.height}x24", "+extension", "GLX",
                    "-nolisten", "tcp", "-noreset", pass_fds=(writer,))
        os.close(writer)
        with os.fdopen(reader) as pipe:
            number = pipe.readline().strip()
        if not number:
            raise RuntimeError("Xvfb did not start; see screen.log")
        return f":{number}"

    def close(self) -> None:
        for process in reversed(self._processes):
            process.terminate()
            process.wait()
        self._log.close()

    # ---- eyes ----

    def grab(self, box: Box | None = None) -> Image.Image:
        """What is on the screen (RGB), or on the part of it within `box`."""
        return ImageGrab.grab(bbox=box, xdisplay=self.display).convert("RGB")

    # ---- hands ----

    def _do(self, *arguments: str) -> None:
        subprocess.run(["xdotool", *arguments], env={**os.environ, "DISPLAY": self.display}, check=True, timeout=60,
                       stdout=self._log, stderr=self._log)

    def move(self, x: int, y: int) -> None:
        """In two motions: Blender lights up a button when the mouse moves over it, not when it appears there."""
        self._do("mousemove", str(x - 3), str(y - 2), "mousemove", str(x), str(y))

    def press(self, button: int = 1) -> None:
        self._do("mousedown", str(button))

    def release(self, button: int = 1) -> None:
        self._do("mouseup", str(button))

    def hold(self, name: str) -> None:
        self._do("keydown", name)

    def let_go(self, name: str) -> None:
        self._do("keyup", name)

    def type(self, text: str) -> None:
        self._do("type", "--delay", "25", "--", text)

    def key(self, name: str) -> None:
        """X's names: Return, Escape, Tab, ctrl+a, F11, n."""
        self._do("key", name)


# ---- reading -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Word:
    """A word on the screen; `line` tells words of one line from those of others."""

    text: str
    box: Box
    line: tuple[int, int, int]

    @property
    def centre(self) -> tuple[int, int]:
        return (self.box[0] + self.box[2]) // 2, (self.box[1] + self.box[3]) // 2


def read(picture: Image.Image, origin: tuple[int, int] = (0, 0), scale: int = 2, light_text: bool = True) -> list[Word]:
    """The words in `picture`, whose upper left corner stands at `origin`. `scale`: how much it is enlarged first."""
    page = _page(picture, light_text).resize((picture.width * scale, picture.height * scale), Image.Resampling.BICUBIC)
    data = io.BytesIO()
    page.save(data, "PNG", dpi=(300, 300))
    done = subprocess.run(["tesseract", "-", "-", "--psm", "11", "tsv"], input=data.getvalue(), capture_output=True, check=True,
                          timeout=120, env={**os.environ, "OMP_THREAD_LIMIT": "1"})
    words = []
    for row in csv.DictReader(io.StringIO(done.stdout.decode("utf-8")), delimiter="\t", quoting=csv.QUOTE_NONE):
        if not plain(row["text"] or ""):
            continue
        left, top, width, height = (int(row[key]) for key in ("left", "top", "width", "height"))
        box = tuple(side // scale + origin[axis % 2] for axis, side in enumerate((left, top, left + width, top + height)))
        words.append(Word(row["text"], box, (int(row["block_num"]), int(row["par_num"]), int(row["line_num"]))))
    return words


def _page(picture: Image.Image, light_text: bool) -> Image.Image:
    """Black letters on white paper: what is lighter (or darker) than its surroundings, be they a button, a field or the
    panel. Blender's placeholders have so little contrast that tesseract misses them otherwise."""
    grey = ImageOps.grayscale(picture)
    ground = grey.filter(ImageFilter.MedianFilter(13))
    ink = ImageChops.subtract(grey, ground) if light_text else ImageChops.subtract(ground, grey)
    return ink.point(lambda value: 255 - min(255, value * 2))


def plain(text: str) -> str:
    """What is compared of a text: letters and digits, small, with those that look alike made one."""
    return re.sub(r"[^a-z0-9%]", "", text.lower().replace("|", "l")).translate(_LOOK_ALIKE)


_LOOK_ALIKE = str.maketrans("il", "11") | str.maketrans("o", "0")


def find(words: Sequence[Word], wanted: str) -> list[Word]:
    """Where `wanted` (one or more words) stands, best match first, then from top to bottom. A number must be read exactly;
    tesseract may have joined or parted the words."""
    target, parts = plain(wanted), len(wanted.split())
    good = EXACT if any(sign.isdigit() for sign in wanted) else GOOD
    found = []
    for start in range(len(words)):
        for length in range(max(1, parts - 1), parts + 2):
            run = words[start : start + length]
            if len(run) < length or len({word.line for word in run}) > 1:
                break
            likeness = difflib.SequenceMatcher(None, target, "".join(plain(word.text) for word in run)).ratio()
            if likeness >= good:
                found.append((likeness, _join(run)))
    best: list[tuple[float, Word]] = []
    for likeness, word in sorted(found, key=lambda item: -item[0]):  # of runs that overlap, only the likest
        if not any(_overlap(word.box, other.box) for _, other in best):
            best.append((likeness, word))
    return [word for _, word in sorted(best, key=lambda item: (-round(item[0], 1), item[1].box[1]))]


def _join(run: Sequence[Word]) -> Word:
    lefts, tops, rights, bottoms = zip(*(word.box for word in run), strict=True)
    return Word(" ".join(word.text for word in run), (min(lefts), min(tops), max(rights), max(bottoms)), run[0].line)


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
