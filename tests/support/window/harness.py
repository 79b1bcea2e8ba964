"""Blender in a real window, worked as a person would: by mouse, keys and what it shows.

    with BlenderWindow(python, [zip], shots) as blender:
        blender.open_tab("SD")
        blender.click_text("Describe the texture")
        blender.type_text("red brick wall")
        blender.key("Return")
        blender.click_text("Generate")
        blender.wait_for("bpy.data.images.get('red brick wall') is not None", timeout=60)

Coordinates are screen pixels, row 0 on top. Every wait has a deadline and ends with a `WindowError` that says what was
seen.
"""
from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.window.reading import Word, find, words_of
from tests.support.window.screen import Box, Screen

OPENER = Path(__file__).with_name("open_bpy.py")
START_LIMIT = 120.0  # seconds; shaders are compiled in software
POLL = 0.05  # seconds
EDGE = 6  # pixels from the sidebar's left side to where the mouse takes hold of its edge
TABS = 30  # pixels at the sidebar's right edge in which its tabs stand
STILL = 2  # pixels by which a text may move between two looks and still stand still
DOUBLE_CLICK = 0.5  # seconds after which Blender takes a second click for a new one

_STATE = """
def _area(area):
    top = bpy.context.window.height
    regions = {}
    for region in area.regions:
        x, y = region.x, top - region.y - region.height
        regions[region.type] = [x, y, x + region.width, y + region.height] if region.width > 1 else None
    sidebar = next((r for r in area.regions if r.type == "UI"), None)
    tab = getattr(sidebar, "active_panel_category", "") if regions.get("UI") else ""
    y = top - area.y - area.height
    return {"type": area.ui_type, "box": [area.x, y, area.x + area.width, y + area.height], "regions": regions, "tab": tab}

def _values(owner):
    out = {}
    for prop in owner.bl_rna.properties if owner else ():
        if prop.type in {"BOOLEAN", "INT", "FLOAT", "STRING", "ENUM"} and not getattr(prop, "is_array", False):
            value = getattr(owner, prop.identifier)
            out[prop.identifier] = sorted(value) if isinstance(value, set) else value
    return out

window = bpy.context.window
result = {
    "blender": bpy.app.version_string,
    "window": [window.width, window.height],
    "areas": [_area(area) for area in window.screen.areas],
    "scene": _values(getattr(window.scene, "sd", None)),
    "running": _values(getattr(bpy.context.window_manager, "sd", None)),
    "images": {image.name: list(image.size) for image in bpy.data.images},
}
"""  # noqa: E501


class WindowError(AssertionError):
    """The window did not do, or show, what was asked for."""


class BlenderWindow:
    """A Blender that starts when this is made, and whose window `with` waits for. `python`: an interpreter with bpy;
    `archives`: extension zips to install; `shots`: the folder that takes screenshots; `variables`: environment
    variables for Blender."""

    size = (1600, 1080)  # pixels of the screen

    def __init__(self, python: str, archives: list[Path], shots: Path, variables: dict[str, str] | None = None) -> None:
        self.shots = shots
        shots.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix="blender_window_"))
        self.user = self.folder / "user"  # Blender's own files: settings, extensions, what the add-on writes
        self.agent = self.folder / "agent"
        for folder in (self.user, self.agent):
            folder.mkdir()
        self.log = shots / "blender.log"
        self._scripts = 0
        self._clicked = 0.0
        self.process: subprocess.Popen | None = None
        self.screen = Screen(self.folder, *self.size)
        try:
            self.process = self._start(python, archives, variables or {})
        except BaseException:
            self.close()
            raise

    def _start(self, python: str, archives: list[Path], variables: dict[str, str]) -> subprocess.Popen:
        environment = {
            **os.environ, "DISPLAY": self.screen.display, "LIBGL_ALWAYS_SOFTWARE": "1", "GALLIUM_DRIVER": "llvmpipe",
            "BLENDER_USER_RESOURCES": str(self.user), "SD_BASE": str(self.folder / "base"),  # its own pictures
            "PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1", **variables}
        environment.pop("WAYLAND_DISPLAY", None)
        with open(self.log, "wb") as output:
            return subprocess.Popen([*self._opener(python), str(self.agent), *map(str, archives)], env=environment,
                                    cwd=self.folder, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)

    def _opener(self, python: str) -> list[str]:
        """Return the command that opens the window and obeys; the agent's folder and the archives follow it."""
        return [python, str(OPENER)]

    def _covers_screen(self) -> bool:
        return self.run_script("result = [bpy.context.window.width, bpy.context.window.height]") == [
            self.screen.width, self.screen.height]

    def __enter__(self) -> BlenderWindow:
        try:
            self.wait_for(self._covers_screen, START_LIMIT, "Blender's window to cover the screen")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_failure: object) -> None:
        self.close()

    def quit(self, timeout: float = 20.0) -> int:
        """Quits as File ▸ Quit does; Blender's exit status. Raises WindowError where it does not end."""
        self._write_script("bpy.ops.wm.quit_blender('EXEC_DEFAULT')")
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise WindowError(f"Blender did not quit within {timeout:.0f} s; {self._tail()}") from None

    def close(self) -> None:
        """Ends Blender and the screen, however things stand, and removes the private folder."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.screen.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    # ---- inside Blender ----

    def run_script(self, code: str, timeout: float = START_LIMIT) -> Any:
        """Runs `code` on Blender's main thread, between two events; what it leaves in `result` (anything JSON can
        hold). Scripts share one namespace, in which `bpy` is there. Raises WindowError with the traceback where it
        fails."""
        answer = self._write_script(code)
        deadline = time.monotonic() + timeout
        while not answer.exists():
            if self.process.poll() is not None:
                raise WindowError(f"Blender ended with status {self.process.returncode}; {self._tail()}")
            if time.monotonic() > deadline:
                raise WindowError(f"Blender did not answer within {timeout:.0f} s; {self._tail()}")
            time.sleep(POLL / 5)
        reply = json.loads(answer.read_text(encoding="utf-8"))
        if "error" in reply:
            raise WindowError(f"the script failed inside Blender:\n{reply['error']}")
        return reply["result"]

    def _write_script(self, code: str) -> Path:
        self._scripts += 1
        path = self.agent / f"{self._scripts}.py"
        path.with_suffix(".new").write_text(code, encoding="utf-8")
        path.with_suffix(".new").replace(path)
        return path.with_suffix(".json")

    def state(self) -> dict[str, Any]:
        """What Blender says of itself: "window", "areas" (type, box, regions, tab), the values of `Scene.sd` ("scene")
        and `WindowManager.sd` ("running"), and the images' sizes."""
        return self.run_script(_STATE)

    def wait_for(self, wanted: str | Callable[[], Any], timeout: float = 30.0, what: str = "") -> Any:
        """Waits until `wanted` is true and returns its value: a call, or a Python expression evaluated inside
        Blender."""
        check = (lambda: self.run_script(f"result = {wanted}")) if isinstance(wanted, str) else wanted
        deadline = time.monotonic() + timeout
        while not (value := check()):
            if time.monotonic() > deadline:
                shot = self.screenshot(f"timeout-{self._scripts}")
                raise WindowError(f"waited {timeout:.0f} s for {what or wanted}; see {shot}; {self._tail()}")
            time.sleep(POLL)
        return value

    def _settle(self) -> None:
        """Blender handles its events before its timers: two answers later, it has handled what was sent before."""
        for _ in range(2):
            self.run_script("result = True")

    def _tail(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
        return f"Blender's log ({self.log}) ends with:\n" + "\n".join(lines)

    def draw_plainly(self) -> None:
        """Leaves out of the 3D Views what is slow to draw in software and what no test looks at: one then takes 0.2 s
        instead of 0.5."""
        self.run_script("""
for view in (area.spaces.active for screen in bpy.data.screens for area in screen.areas if area.type == "VIEW_3D"):
    view.shading.light, view.shading.show_object_outline, view.overlay.show_outline_selected = "FLAT", False, False
    view.overlay.show_floor = view.overlay.show_axis_x = view.overlay.show_axis_y = False
""")

    # ---- hands ----

    def click(self, x: int, y: int, double: bool = False) -> None:
        """Moves the mouse there and presses the left button, as a new click or a double click."""
        time.sleep(max(0.0, self._clicked + DOUBLE_CLICK - time.monotonic()))
        self.screen.move(x, y)
        self._settle()
        for _ in range(2 if double else 1):
            self.screen.press()
            self.screen.release()
        self._clicked = time.monotonic()
        self._settle()

    def drag(self, start: tuple[int, int], end: tuple[int, int]) -> None:
        """Drags with the left button from `start` to `end`: Blender starts what is dragged at the first motion that it
        sees, and makes one of those that come together."""
        self.screen.move(start[0] - 40, start[1])
        self._settle()
        self.screen.move(*start)
        self._settle()
        self.screen.press()
        self._settle()
        for part in (0.2, 0.6, 1.0):
            self.screen.move(*(round(a + (b - a) * part) for a, b in zip(start, end, strict=True)))
            self._settle()
        self.screen.release()
        self._settle()

    def open_only(self, panel: str, within: Box | None = None) -> None:
        """Opens a panel of a region, by default the sidebar, and closes all others: Ctrl and a click on its header."""
        header = self.find_text(panel, within).centre
        self.screen.hold("ctrl")
        try:
            self.click(*header)
        finally:
            self.screen.let_go("ctrl")

    def click_text(self, text: str, within: Box | None = None, nth: int = 0, double: bool = False,
                   timeout: float = 10.0) -> None:
        """Clicks the middle of `text` where it is shown; see `find_text`."""
        self.click(*self.find_text(text, within, nth, timeout).centre, double=double)

    def click_until(self, text: str, shown: str, within: Box | None = None, timeout: float = 60.0) -> None:
        """Click `text` until `shown` appears: a click into a window that has just opened may only give it the keyboard.
        The mouse leaves between two clicks, since its tooltip may cover the text. Raises WindowError."""
        deadline = time.monotonic() + timeout
        self.click_text(text, within)
        while not self.shows(shown, within, 3):
            if time.monotonic() > deadline:
                shot = self.screenshot(f"not-{shown}")
                raise WindowError(f"{text!r} was clicked for {timeout:.0f} s, and {shown!r} is not shown; see {shot}")
            self.screen.move(1, 1)
            self._settle()
            self.click_text(text, within)

    def type_text(self, text: str) -> None:
        """Types into whatever has the keyboard; a text field has it after a click."""
        self.screen.type(text)
        self._settle()

    def key(self, name: str, over: Box | None = None) -> None:
        """Presses a key by X's name ("Escape", "ctrl+z"), with the mouse over the middle of `over`, where given."""
        if over is not None:
            self.screen.move((over[0] + over[2]) // 2, (over[1] + over[3]) // 2)
            self._settle()
        self.screen.key(name)
        self._settle()

    def scroll(self, over: Box, notches: int) -> None:
        """Turn the mouse wheel over the middle of a box: downwards, or upwards where negative."""
        self.screen.move((over[0] + over[2]) // 2, (over[1] + over[3]) // 2)
        for _ in range(abs(notches)):
            self.screen.press(5 if notches > 0 else 4)
            self.screen.release(5 if notches > 0 else 4)
        self._settle()

    # ---- eyes ----

    def screenshot(self, name: str) -> Path:
        """Keeps a picture of the screen as `name`.png in the folder of screenshots; its path."""
        path = self.shots / f"{name}.png"
        self.screen.grab().save(path)
        return path

    def words(self, within: Box | None = None) -> list[Word]:
        """The words that Blender shows within a box, by default the sidebar's."""
        return words_of(self.run_script("result = texts()"), tuple(within or self.sidebar()))

    def find_text(self, text: str, within: Box | None = None, nth: int = 0, timeout: float = 10.0) -> Word:
        """Where `text` stands within a box, by default the sidebar: the `nth` of its places, from top to bottom.
        Reads until it is there and stands still, as panels slide. Raises WindowError with what was read instead."""
        deadline = time.monotonic() + timeout
        before: Word | None = None
        while True:
            places = find(words := self.words(within), text)
            late = time.monotonic() > deadline
            if len(places) > nth:
                word = places[nth]
                if late or before and all(
                        abs(now - then) <= STILL for now, then in zip(word.box, before.box, strict=True)):
                    return word
                before = word
            elif late:
                shot = self.screenshot(f"no-{text.replace(' ', '-')}")
                raise WindowError(
                    f"'{text}' is not shown; what is: {' '.join(word.text for word in words)}; see {shot}")
            time.sleep(POLL)

    def shows(self, text: str, within: Box | None = None, timeout: float = 5.0) -> bool:
        """Whether `text` is shown, now or before `timeout` seconds are over."""
        deadline = time.monotonic() + timeout
        while not find(self.words(within), text):
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL)
        return True

    # ---- Blender's furniture ----

    def area(self, kind: str = "VIEW_3D") -> dict[str, Any]:
        """The largest area of that `ui_type` (VIEW_3D, IMAGE_EDITOR, ShaderNodeTree, …). Raises WindowError."""
        areas = [area for area in self.state()["areas"] if area["type"] == kind]
        if not areas:
            raise WindowError(f"no {kind} is open")
        return max(areas, key=lambda area: (area["box"][2] - area["box"][0]) * (area["box"][3] - area["box"][1]))

    def become(self, kind: str, was: str = "VIEW_3D") -> None:
        """Turns the largest `was` into an editor of another `ui_type`."""
        box = self.area(was)["box"]
        self.run_script(
            f"next(a for a in bpy.context.window.screen.areas if a.x == {box[0]} and a.ui_type == {was!r}).ui_type = "
            f"{kind!r}"
        )
        self.wait_for(lambda: any(area["type"] == kind for area in self.state()["areas"]), what=f"the {kind}")

    def sidebar(self, kind: str = "VIEW_3D") -> Box:
        """The box of the editor's sidebar. Raises WindowError where it is shut."""
        box = self.area(kind)["regions"].get("UI")
        if box is None:
            raise WindowError(f"the sidebar of the {kind} is shut")
        return tuple(box)

    def open_tab(self, name: str, kind: str = "VIEW_3D", width: int = 420) -> None:
        """Opens the editor's sidebar with N, clicks its tab `name`, and drags the sidebar to `width` pixels."""
        self.wait_for(lambda: self._opens_sidebar(kind), 30, "the sidebar to open")
        self.wait_for(lambda: self._click_tab(name, kind), 20, f"the tab {name}")
        left, top, right, bottom = self.sidebar(kind)
        if right - left < width:
            y = top + 30  # where panels are: elsewhere the sidebar is transparent, to the mouse too
            self.drag((left + EDGE, y), (right - width, y))
            self.wait_for(lambda: self.sidebar(kind)[0] < left, 10, "the sidebar to become wider")

    def _opens_sidebar(self, kind: str) -> bool:
        """Presses N where the sidebar is shut: a key is lost to an editor that has not seen the mouse come yet."""
        area = self.area(kind)
        if area["regions"].get("UI") is None:
            self.key("n", over=area["regions"]["WINDOW"])
        return self.area(kind)["regions"].get("UI") is not None

    def _click_tab(self, name: str, kind: str) -> bool:
        """Clicks a tab at the sidebar's right edge, where names stand upright; whether it is open then, by Blender's
        word."""
        if self.area(kind)["tab"] == name:
            return True
        _left, top, right, bottom = self.sidebar(kind)
        for word in find(self.words((right - TABS, top, right, bottom)), name):
            self.click(*word.centre)
        return self.area(kind)["tab"] == name
