"""The name and version that this add-on signs with, read where they are written down once: in Blender's manifest."""
from __future__ import annotations

import functools
import os
import re

NAME = "blender_sd"
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Within the installed extension, and in the source tree (`scripts/build.py` makes one of the other).
_MANIFESTS = (os.path.join(_PACKAGE, "blender_manifest.toml"), os.path.join(os.path.dirname(_PACKAGE), "addon_manifest.toml"))
_LINE = re.compile(r'^version\s*=\s*"([^"\n]+)"', re.M)  # tomllib is younger than the oldest Python that an engine may have


@functools.cache
def version() -> str:
    """The add-on's version, such as "0.1.0"; "unknown" where its manifest was taken away."""
    for manifest in _MANIFESTS:
        try:
            with open(manifest, encoding="utf-8") as file:
                found = _LINE.search(file.read())
        except (OSError, UnicodeDecodeError):
            continue
        if found:
            return found[1]
    return "unknown"


def generator() -> str:
    """What pictures say they were made by: name and version."""
    return f"{NAME} {version()}"
