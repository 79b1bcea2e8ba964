"""Read the add-on's name and version from Blender's manifest, the only place where they are written down."""
from __future__ import annotations

import functools
import os
import re

NAME = "blender_sd"
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# In the installed extension, and in the source tree (`scripts/build.py` makes the former from the latter).
_MANIFESTS = (os.path.join(_PACKAGE, "blender_manifest.toml"),
              os.path.join(os.path.dirname(_PACKAGE), "addon_manifest.toml"))
_LINE = re.compile(r'^version\s*=\s*"([^"\n]+)"', re.M)  # the oldest Python that an engine may have has no tomllib


@functools.cache
def version() -> str:
    """Return the add-on's version, such as "0.1.0", or "unknown" without a manifest."""
    for manifest in _MANIFESTS:
        try:
            with open(manifest, encoding="utf-8") as file:
                match = _LINE.search(file.read())
        except (OSError, UnicodeDecodeError):
            continue
        if match:
            return match[1]
    return "unknown"


def generator() -> str:
    """Return the program's name and version, as written into pictures."""
    return f"{NAME} {version()}"
