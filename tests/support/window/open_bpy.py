"""Opens the PyPI `bpy` in a real window and obeys the harness. Run by tests/support/window/harness.py; for tests only.

    python open_bpy.py FOLDER [ZIP …]
    blender --python open_bpy.py -- FOLDER [ZIP …]    obeys in a complete Blender, which has a window already

PyPI's bpy is always windowless: `main_python_enter()` sets G.background just before `WM_init()`. This loads bpy's
library, clears that one byte of code in this process's memory (no file changes), imports bpy (a window opens on
$DISPLAY) and enters Blender's own main loop. The zips are installed and enabled as a person's would be. Then a timer
runs every script that appears in FOLDER as N.py, on Blender's main thread, and leaves its `result` as N.json. In bpy
`texts()` and `popups()` are there for them, which tell what the window shows (drawn.py). Linux x86_64; needs nm and
objdump.
"""
import ctypes
import importlib.util
import json
import mmap
import os
import re
import subprocess
import sys
import traceback
from contextlib import nullcontext

TICK = 0.05  # seconds between two looks into the folder


def _lines(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def _symbols(library):
    return [(int(parts[0], 16), parts[2]) for parts in map(str.split, _lines("nm", "--defined-only", library))
            if len(parts) == 3]


def _address(symbols, name):
    """Return the address of the function `name` in the library: C or C++, in a namespace or not."""
    return _first(symbols, rf"^(?:_ZN?(?:7blender)?{len(name)})?{name}(?:E?[A-Za-z][A-Za-z0-9_]*)?$")


def _first(symbols, pattern):
    return next(address for address, symbol in symbols if re.search(pattern, symbol))


def _background_byte(library, symbols):
    """Offset of the immediate operand of `G.background = true`: the last `movb $1` before the call of WM_init()."""
    start = _address(symbols, "main_python_enter")
    store = None
    for line in _lines("objdump", "-d", f"--start-address={start}", f"--stop-address={start + 0x800}", library):
        found = re.match(r"\s*([0-9a-f]+):\s+((?:[0-9a-f]{2} )+)\s*(\S+)\s*(.*)", line)
        if found and found[3] == "movb" and found[4].startswith("$0x1,"):
            store = int(found[1], 16) + len(bytes.fromhex(found[2])) - 1
        elif found and found[3] == "call" and re.search(r"WM_init(P8bContext|EPNS_8bContext)", found[4]):
            return store
    raise SystemExit(f"no call of WM_init found in {library}")


def _clear(address):
    """Writes 0 over the 1 at `address`, which lies in code."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    page = address & -mmap.PAGESIZE
    everything = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
    if libc.mprotect(page, mmap.PAGESIZE, everything) != 0:
        raise OSError(ctypes.get_errno(), "mprotect")
    byte = ctypes.c_ubyte.from_address(address)
    if byte.value != 1:
        raise SystemExit("this bpy is not laid out as expected")
    byte.value = 0
    libc.mprotect(page, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_EXEC)


def open_window():
    """Imports bpy with a window; returns the function that runs Blender's main loop and never returns, and the
    reader."""
    library = importlib.util.find_spec("bpy").origin
    symbols = _symbols(library)
    ctypes.PyDLL(library)  # `import bpy` finds this same copy in memory
    with open("/proc/self/maps", encoding="utf-8") as maps:
        base = next(int(line.split("-")[0], 16) for line in maps if line.rstrip().endswith(os.path.realpath(library)))
    _clear(base + _background_byte(library, symbols))
    import bpy

    if bpy.app.background:
        raise SystemExit("bpy is still windowless")
    from drawn import Drawn  # beside this script

    main = base + _address(symbols, "WM_main")
    context = ctypes.c_void_p.from_address(base + _first(symbols, r"evil_C(E)?$")).value
    return lambda: ctypes.CFUNCTYPE(None, ctypes.c_void_p)(main)(context), Drawn(
        lambda name: base + _address(symbols, name))


class Agent:
    """Runs the harness's scripts on the main thread, in their order. They share one namespace, in which `settings` are
    those of the scene that is there now: an undo replaces it, and what a script has kept of the old one is freed
    memory."""

    def __init__(self, folder, names):
        import bpy

        self.folder = folder
        self.names = {"bpy": bpy, "__name__": "window_script", **names}
        self.next = 1

    def tick(self):
        path = os.path.join(self.folder, f"{self.next}.py")
        if os.path.exists(path):
            self._run(path)
            self.next += 1
        return TICK

    def _run(self, path):
        import bpy

        with open(path, encoding="utf-8") as file:
            code = file.read()
        window = bpy.context.window_manager.windows[0]
        # Operators are not safe in an override while other threads run Python: see `scene.compat.in_window`.
        place = nullcontext() if "bpy.ops." in code else bpy.context.temp_override(window=window)
        try:
            self.names["result"] = None
            self.names["settings"] = getattr(window.scene, "sd", None)
            with place:
                exec(compile(code, path, "exec"), self.names)
            reply = json.dumps({"result": self.names["result"]})
        except Exception:
            reply = json.dumps({"error": traceback.format_exc()})
        target = path[:-3] + ".json"
        with open(target + ".new", "w", encoding="utf-8") as file:
            file.write(reply)
        os.replace(target + ".new", target)


def main():
    complete = "bpy" in sys.modules
    folder, *archives = sys.argv[sys.argv.index("--") + 1:] if complete else sys.argv[1:]
    run_main_loop, drawn = (lambda: None, None) if complete else open_window()
    import bpy

    bpy.context.preferences.view.show_splash = False
    bpy.context.preferences.view.show_developer_ui = False
    bpy.context.preferences.system.viewport_aa = "OFF"  # else a still view is drawn eight times, 0.4 s each in software
    for archive in archives:
        print(archive, bpy.ops.extensions.package_install_files(
            filepath=archive, repo="user_default", enable_on_install=True, overwrite=True), flush=True)
    agent = Agent(folder, {"texts": drawn.texts, "popups": drawn.popups} if drawn else {})
    bpy.app.timers.register(agent.tick, first_interval=TICK, persistent=True)
    run_main_loop()


if __name__ == "__main__":
    main()
