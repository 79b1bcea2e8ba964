"""Run a complete Blender: python scripts/complete.py ARGUMENTS… PyPI's module has neither languages nor `--command`.

    python scripts/complete.py -b scene.blend --command sd_report
    python scripts/complete.py --share FOLDER ARGUMENTS…  make FOLDER visible there; may be repeated
    python scripts/complete.py --make                     only install it

Blender is Debian's package, from the suite "sid", in a folder of its own: .cache/blender (about 1.5 GB), made once. It
needs Linux on x86-64, root (it mounts folders and changes the root), and mmdebstrap. The repository and this Python are
visible there under the same paths.
"""
from __future__ import annotations

import os
import sys
from collections.abc import Iterable

import envs
import roots

HOME = envs.ROOT / ".cache" / "blender"
# A newer version than 5.2.2 once sid has moved on; delete the folder to get it.
SUITE = "sid"
PACKAGES = (
    "blender,python3-numpy,python3-requests,python3-zstandard,python3-cattr,libgl1,libgl1-mesa-dri,libegl1,"
    "libegl-mesa0,"
    "libglx-mesa0,libcrypt1"
)  # what Blender's own add-ons and a window need; the package only recommends them
MAKING = 2400.0  # seconds that the installation may take; it took 400 on a busy machine
PASSED_ON = ("SD_", "BLENDER_", "DISPLAY", "LIBGL_", "GALLIUM_")  # prefixes of the caller's variables that Blender gets


def missing() -> str:
    """Return what this machine lacks for it and what to do about it; "" if nothing is missing."""
    return roots.missing("A complete Blender")


def command(arguments: Iterable[str], shared: Iterable[str] = ()) -> list[str]:
    """Return the command that starts Blender with `arguments`. `shared`: more folders to make visible under their own
    paths.
    """
    folders = map(os.path.realpath, (envs.ROOT, sys.prefix, sys.base_prefix, *shared))
    return roots.command(
        HOME, {folder: folder for folder in folders}, roots.passed_on(PASSED_ON), "blender", *arguments
    )


def main(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 0
    try:
        with roots.held(HOME, missing()):
            roots.ensure(HOME, SUITE, PACKAGES)
    except envs.EnvError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if arguments == ["--make"]:
        return 0
    shared = []
    while arguments[:1] == ["--share"] and len(arguments) > 1:
        shared.append(arguments[1])
        arguments = arguments[2:]
    started = command(arguments, shared)
    os.execvp(started[0], started)


if __name__ == "__main__":
    envs.run_inside()
    sys.exit(main(sys.argv[1:]))
