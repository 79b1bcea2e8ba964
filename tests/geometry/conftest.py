"""Blender is loaded before the ray tracer on Windows, as it always is in Blender's own process.

There a process has one `tbb12.dll`. If embreex brings its older one first, Blender's module, which other tests import,
finds functions missing in it.
"""
from __future__ import annotations

import contextlib
import os

if os.name == "nt":
    with contextlib.suppress(ImportError):
        import bpy  # noqa: F401
