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

from PIL import Image, ImageGrab, ImageOps

Box = tuple[int, int, int, int]  # left, top, right, bottom in screen pixels, row 0 on top
GOOD = 0.8  # how alike two texts must be (difflib's ratio) to be taken for the same
_OPENBOX = """<?xml version="1.0"?><openbox_config xmlns="http://openbox.org/3.4/rc"><applications>
<application class="*"><decor>no</decor><maximized>yes</maximized><focus>yes</focus></application>
</applications></openbox_config>"""


class Screen:
    """One private X display of `width`×`height` pixels. Windows are shown over the whole of it, without a frame."""

    def __init__(self, folder: Path, width: int = 1600, height: int = 1000) -> None:
        self.width, self.height = width, height
        self._processes: list[subprocess.Popen] = []
        self._log = open(folder / "screen.log", "ab")
        self.display = self._start_x()
        config = folder / "openbox.xml"
        config.write_text(_OPENBOX, encoding="utf-8")
        self._start("openbox", "--sm-disable", "--config-file", str(config))

    def _start(self, *command: str, **options) -> subprocess.Popen:
        environment = {**os.environ, "DISPLAY": getattr(self, "display", "")}
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


def read(picture: Image.Image, origin: tuple[int, int] = (0, 0), scale: int = 3, invert: bool = True) -> list[Word]:
    """The words in `picture`, whose upper left corner stands at `origin`. Blender's theme is light on dark, which
    tesseract reads poorly: the picture is inverted and enlarged first."""
    grey = ImageOps.grayscale(picture)
    grey = ImageOps.autocontrast(ImageOps.invert(grey) if invert else grey, cutoff=1)
    grey = grey.resize((grey.width * scale, grey.height * scale), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    grey.save(data, "PNG", dpi=(300, 300))
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


def plain(text: str) -> str:
    """What is compared of a text: letters and digits, small."""
    return re.sub(r"[^a-z0-9%]", "", text.lower())


def find(words: Sequence[Word], wanted: str) -> list[Word]:
    """Where `wanted` (one or more words) stands, best match first, then from top to bottom."""
    parts = [plain(part) for part in wanted.split() if plain(part)]
    found = []
    for start in range(len(words)):
        run = words[start : start + len(parts)]
        if len(run) < len(parts) or len({word.line for word in run}) > 1:
            continue
        likeness = difflib.SequenceMatcher(None, "".join(parts), "".join(plain(word.text) for word in run)).ratio()
        if likeness >= GOOD:
            box = (min(w.box[0] for w in run), min(w.box[1] for w in run), max(w.box[2] for w in run), max(w.box[3] for w in run))
            found.append((-round(likeness, 1), box[1], Word(" ".join(w.text for w in run), box, run[0].line)))
    return [word for _, _, word in sorted(found, key=lambda item: item[:2])]
