"""A screen without a monitor: Xvfb with a window manager, and hands (xdotool)."""
from __future__ import annotations

import os
import subprocess
from pathlib import Path

from PIL import Image, ImageGrab

Box = tuple[int, int, int, int]  # left, top, right, bottom in screen pixels, row 0 on top
_OPENBOX = """<?xml version="1.0"?><openbox_config xmlns="http://openbox.org/3.4/rc"><applications>
<application class="*"><decor>no</decor><maximized>yes</maximized><focus>yes</focus></application>
</applications></openbox_config>"""


class Screen:
    """One private X display of `width`×`height` pixels. Windows are shown over the whole of it, without a frame."""

    def __init__(self, folder: Path, width: int = 1600, height: int = 1080) -> None:
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
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=self._log,
                                   stderr=self._log, **options)
        self._processes.append(process)
        return process

    def _start_x(self) -> str:
        """Xvfb finds a free display itself and names it once it takes connections."""
        reader, writer = os.pipe()
        self._start("Xvfb", "-displayfd", str(writer), "-screen", "0", f"{self.width}x{self.height}x24", "+extension",
                    "GLX", "-nolisten", "tcp", "-noreset", pass_fds=(writer,))
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
        """In two motions: Blender lights up a button when the mouse moves over it, not when it appears there. A place
        beyond the left or upper edge is taken as the edge: xdotool would read its minus sign as an option."""
        x, y = max(x, 0), max(y, 0)
        near = x - 3 if x >= 3 else x + 3, y - 2 if y >= 2 else y + 2
        self._do("mousemove", *map(str, near), "mousemove", str(x), str(y))

    def mouse(self) -> tuple[int, int]:
        """Where the mouse is."""
        shown = subprocess.run(["xdotool", "getmouselocation", "--shell"], env={**os.environ, "DISPLAY": self.display},
                               check=True, timeout=60, capture_output=True, text=True).stdout
        place = dict(line.split("=") for line in shown.splitlines())
        return int(place["X"]), int(place["Y"])

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
