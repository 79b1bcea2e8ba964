"""The engine process's first file: run as `python …/blender_sd/engine/boot.py [role]` by any interpreter, from any folder.

It is run as a plain file, so it sets up what an import would have: the package is found by its place on disk, and
neither this folder (`models.py`, `process.py` … would hide other modules) nor the one that holds the package (other
extensions' would) is on the search path. Standard library only, and syntax that an old Python can read, so that an
interpreter without torch, or even without numpy, is told from one that is broken.
"""
import importlib
import importlib.machinery
import importlib.util
import json
import os
import struct
import sys

PACKAGE = "blender_sd"
OLDEST = (3, 10)
NICENESS = 10
# What a process can be there for: the module of this room that serves it, and what it cannot do without.
_ENGINE = ("numpy", "torch", "diffusers", "transformers", "safetensors", "PIL")
ROLES = {
    "paint": ("process", _ENGINE),
    "fetch": ("fetching", ("numpy", "huggingface_hub", "httpx2", "filelock")),
    "check": ("checking", _ENGINE),
    "verify": ("verifying", ("numpy", "c2pa")),
    "install": ("installing", ("numpy", "venv", "ensurepip")),
}
_CANNOT = {"paint": "The engine's Python cannot paint", "fetch": "The engine's Python cannot fetch",
           "verify": "The engine's Python cannot check content credentials", "install": "Blender's Python cannot set up an engine"}
_REMEDIES = {"install": "Use a Python that has them: name one with 'Use an Existing Python'.",
             "verify": "Repair the engine in the add-on's preferences, or install c2pa-python beside it."}
_HERE = os.path.dirname(os.path.abspath(__file__))
_ROOT = os.path.dirname(_HERE)


def private_streams():
    """(reader, writer): the session's pipes, under descriptors that no library knows.

    Afterwards descriptor 0 is empty and 1 leads to the log, so that a `print`, in C too, cannot break the messages.
    """
    reader, writer = os.dup(0), os.dup(1)
    if sys.platform == "win32":
        import msvcrt

        msvcrt.setmode(reader, os.O_BINARY)
        msvcrt.setmode(writer, os.O_BINARY)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    sys.stdout.flush()
    os.dup2(2, 1)
    return os.fdopen(reader, "rb"), os.fdopen(writer, "wb")


def lower_priority():
    """Blender comes first: its main thread must not wait for the processor."""
    if sys.platform == "win32":
        import ctypes

        below_normal = 0x00004000
        ctypes.windll.kernel32.SetPriorityClass(ctypes.windll.kernel32.GetCurrentProcess(), below_normal)
    else:
        try:
            os.nice(NICENESS)
        except OSError as error:
            sys.stderr.write(f"priority could not be lowered: {error}\n")


def mount_package():
    """Makes the package importable by name without running its `__init__`, which belongs to Blender's side."""
    here = os.path.normcase(_HERE)
    sys.path[:] = [entry for entry in sys.path if os.path.normcase(os.path.abspath(entry or os.curdir)) != here]
    spec = importlib.machinery.ModuleSpec(PACKAGE, None, is_package=True)
    spec.submodule_search_locations = [_ROOT]
    sys.modules[PACKAGE] = importlib.util.module_from_spec(spec)


def report_missing(reader, writer, role, what):
    """Tells the session what this interpreter lacks, in a frame written by hand: numpy, and with it `protocol.wire`,
    may be what is missing."""
    prefix = reader.read(8)  # Hello is taken first, or the session would write into a closed pipe
    if len(prefix) == 8:
        reader.read(struct.unpack("<4sI", prefix)[1])
    version = ".".join(str(number) for number in sys.version_info[:3])
    body = {
        "job": "",
        "kind": "engine_missing",
        "message": f"{_CANNOT.get(role, 'This Python cannot be the engine')}: {what}.",
        "hint": _REMEDIES.get(role) or
                f"Install torch, diffusers, transformers, accelerate, safetensors and huggingface_hub for {sys.executable}, or name "
                "another interpreter in the preferences.",
        "detail": f"Python {version} at {sys.executable}",
    }
    text = json.dumps({"type": "Failed", "body": body, "blobs": []}).encode("utf-8")
    writer.write(struct.pack("<4sI", b"SDB1", len(text)) + text)
    writer.flush()


def main():
    reader, writer = private_streams()
    lower_priority()
    mount_package()
    role = sys.argv[1] if len(sys.argv) > 1 else "paint"
    module, packages = ROLES[role]
    if sys.version_info < OLDEST:
        report_missing(reader, writer, role, f"it is older than Python {OLDEST[0]}.{OLDEST[1]}")
        return 1
    missing = [needed for needed in packages if importlib.util.find_spec(needed) is None]
    if missing:
        what = "package" if len(missing) == 1 else "packages"
        report_missing(reader, writer, role, f"it has no {what} " + ", ".join(f"'{name}'" for name in missing))
        return 1
    status = importlib.import_module(PACKAGE + ".engine." + module).serve(reader, writer)
    sys.stderr.flush()
    os._exit(status)  # other threads still hold the streams, which an orderly exit would trip over


if __name__ == "__main__":
    sys.exit(main())
