"""Start a child process: `python …/blender_sd/protocol/boot.py [role]`, by any interpreter and from any folder; or
`blender --background --python …/boot.py -- role`.

It runs as a plain file, so it sets up what an import would have: the package is located by its place on disk, and
neither this folder (`messages.py`, `serving.py`, … would hide other modules) nor the one that contains the package
(with other extensions) is on the search path. It uses only the standard library and syntax that an old Python can read,
so that an interpreter without torch, or even without numpy, can be distinguished from a broken one.
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
NICENESS_VARIABLE = "SD_ENGINE_NICE"  # names another one; the command line sets 0, as no interface waits there
OS_RELEASE = "/etc/os-release"
# The roles of a process: the module that serves it, and the packages that it needs.
_ENGINE = ("numpy", "torch", "diffusers", "transformers", "safetensors", "PIL")
ROLES = {
    "paint": ("engine.serve", _ENGINE),
    "fetch": ("workers.downloads", ("numpy", "huggingface_hub", "httpx2", "filelock")),
    "check": ("workers.interpreter_check", _ENGINE),
    "verify": ("workers.content_credentials", ("numpy", "c2pa")),
    "install": ("workers.installation", ("numpy", "venv", "ensurepip")),
    "record": ("scene.shot_process", ("numpy",)),
}
_CANNOT = {"paint": "The engine's Python cannot paint", "fetch": "The engine's Python cannot fetch",
           "verify": "The engine's Python cannot check content credentials",
           "install": "Blender's Python cannot set up an engine", "record": "Blender cannot record a scene"}
_REMEDIES = {"install": "Use a Python that has them: name one with 'Use an Existing Python'.",
             "verify": "Repair the engine in the add-on's preferences, or install c2pa-python beside it."}
BEGINS = b"blender_sd begins\n"  # after what Blender says when it starts
_HERE = os.path.dirname(os.path.abspath(__file__))
_ROOT = os.path.dirname(_HERE)


def venv_remedy():
    """Return what to do if this Python cannot create virtual environments.

    Debian and its derivatives keep ensurepip and pip's wheel in a separate package.
    """
    version = ".".join(str(number) for number in sys.version_info[:2])
    try:
        with open(OS_RELEASE, encoding="utf-8", errors="replace") as file:
            known = {line.partition("=")[0]: line.partition("=")[2].strip().strip('"').split() for line in file}
    except OSError:
        known = {}
    if {"debian", "ubuntu"} & set(known.get("ID", []) + known.get("ID_LIKE", [])):
        return (
            f"Install the package python{version}-venv (python3-venv where that is the system's Python), as with 'sudo "
            f"apt install python{version}-venv', or use another Python with 'Use an Existing Python'."
        )
    return (
        f"Install your system's package for venv and ensurepip of Python {version} (python3-venv on Debian and "
        "Ubuntu), or use another Python with 'Use an Existing Python'."
    )


def private_streams():
    """Return (reader, writer): the session's pipes, under descriptors that no library knows.

    Afterwards descriptor 0 is empty and 1 leads to the log, so that a `print`, even in C, cannot break the messages.
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
    """Lower this process's priority, so that Blender's main thread does not wait for the processor.

    On Windows the session starts it with a lower priority instead.
    """
    if sys.platform != "win32":
        try:
            os.nice(int(os.environ.get(NICENESS_VARIABLE) or NICENESS))
        except (OSError, ValueError) as error:
            sys.stderr.write(f"priority could not be lowered: {error}\n")


def mount_package():
    """Make the package importable by name without running its `__init__`, which belongs to Blender's side."""
    here = os.path.normcase(_HERE)
    sys.path[:] = [entry for entry in sys.path if os.path.normcase(os.path.abspath(entry or os.curdir)) != here]
    spec = importlib.machinery.ModuleSpec(PACKAGE, None, is_package=True)
    spec.submodule_search_locations = [_ROOT]
    sys.modules[PACKAGE] = importlib.util.module_from_spec(spec)


def report_missing(reader, writer, role, what, remedy=""):
    """Report to the session what this interpreter lacks.

    The frame is written by hand, because numpy may be missing, and `protocol.framing` needs it.
    """
    prefix = reader.read(8)  # read Hello first, or the session would write into a closed pipe
    if len(prefix) == 8:
        reader.read(struct.unpack("<4sI", prefix)[1])
    version = ".".join(str(number) for number in sys.version_info[:3])
    body = {
        "job": "",
        "kind": "engine_missing",
        "message": f"{_CANNOT.get(role, 'This Python cannot be the engine')}: {what}.",
        "hint": remedy
        or _REMEDIES.get(role)
        or f"Install torch, diffusers, transformers, accelerate, safetensors and huggingface_hub for {sys.executable}, "
           "or name another interpreter in the preferences.",
        "detail": f"Python {version} at {sys.executable}",
    }
    text = json.dumps({"type": "Failed", "body": body, "blobs": []}).encode("utf-8")
    writer.write(struct.pack("<4sI", b"SDB1", len(text)) + text)
    writer.flush()


def main():
    reader, writer = private_streams()
    lower_priority()
    mount_package()
    role = sys.argv[-1] if len(sys.argv) > 1 else "paint"
    if role == "record":
        writer.write(BEGINS)
        writer.flush()
    module, packages = ROLES[role]
    if sys.version_info < OLDEST:
        report_missing(reader, writer, role, f"it is older than Python {OLDEST[0]}.{OLDEST[1]}")
        return 1
    missing = [needed for needed in packages if importlib.util.find_spec(needed) is None]
    if missing:
        what = "package" if len(missing) == 1 else "packages"
        remedy = venv_remedy() if {"venv", "ensurepip"} & set(missing) else ""
        report_missing(reader, writer, role, f"it has no {what} " + ", ".join(f"'{name}'" for name in missing), remedy)
        return 1
    status = importlib.import_module(f"{PACKAGE}.{module}").serve(reader, writer)
    sys.stderr.flush()
    os._exit(status)  # other threads still hold the streams, which would break an orderly exit


if __name__ == "__main__":
    sys.exit(main())
