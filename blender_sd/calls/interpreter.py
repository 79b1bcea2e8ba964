"""Which Python runs the engine."""
from __future__ import annotations

import importlib.util
import logging
import os
import sys

from ..core.errors import EngineMissing
from ..library import engine_environment
from .config import Config

log = logging.getLogger("blender_sd")

PYTHON_VARIABLE = "SD_ENGINE_PYTHON"


def engine_python(config: Config, place: str) -> str:
    """Return the interpreter for the engine: the one that the person or the environment variable names, else the one
    that was set up in the folder `place`, else the running one if it has torch and diffusers.

    Raises:
        EngineMissing: There is none.
    """
    named = config.engine_python or os.environ.get(PYTHON_VARIABLE, "")
    if named:
        return named
    made = _set_up_interpreter(place, shared=bool(config.engine_place))
    if made:
        return made
    if has_torch():
        return sys.executable
    raise EngineMissing(
        "No Python with torch and diffusers is known.",
        "Set up the engine in the SD tab, or name a Python in the add-on's preferences or the variable "
        "SD_ENGINE_PYTHON."
    )


def has_torch() -> bool:
    """Return whether the running Python could be the engine's own. Imports nothing."""
    return all(importlib.util.find_spec(name) for name in ("torch", "diffusers", "transformers"))


def _set_up_interpreter(place: str, shared: bool) -> str:
    """Return the interpreter of the engine that was set up in `place`; "" if none works. Where only the Python that it
    was made from has moved, make it use the running one, unless the folder may be `shared` with other computers."""
    made = engine_environment.read(place)
    if made is None:
        return ""
    folder = os.path.join(place, made.folder)
    if engine_environment.is_orphan(folder):
        if shared or made.version != f"{sys.version_info[0]}.{sys.version_info[1]}":
            return ""
        try:
            engine_environment.rehome(folder, engine_environment.running_python())
        except OSError as error:
            log.warning("the engine's Python has moved, and cannot be pointed to the new one: %s", error)
            return ""
    return made.python(place)
