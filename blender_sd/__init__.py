"""Stable Diffusion inside Blender. `import blender_sd` works in any Python: bpy is imported only when it is needed.

    import blender_sd as sd                # installed as an extension: from bl_ext.user_default import blender_sd as sd
    job = sd.generate("red brick wall", seed=7)
    image = job.result()[0]
    sd.apply(image, bpy.context.object)

`api` and `hub` document every call. The engine works without Blender too: `from blender_sd.engine import Engine`.
"""
from __future__ import annotations

from importlib import import_module
from typing import Any

_API = ("apply", "cancel_all", "clear_jobs", "configure", "control", "control_image", "controlnets", "engine_status", "find_model",
        "generate", "inpaint", "ip_adapters", "jobs", "loras", "make_seamless", "models", "outpaint", "output_folder", "pump", "recall",
        "refresh_models", "restyle", "run", "samplers", "shutdown", "start_engine", "upscale", "wait")
_HUB = ("clear_unfinished", "downloads", "fetch", "hub_models", "models_folder")

__all__ = [*_API, *_HUB, "register", "unregister"]


def __getattr__(name: str) -> Any:
    """The scripting API, imported on first use: the engine process and plain Python have no bpy to import it with."""
    if name in _API:
        return getattr(import_module(".api", __package__), name)
    if name in _HUB:
        import_module(".api", __package__)  # which hears of what has come
        return getattr(import_module(".hub", __package__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_API, *_HUB])


def register() -> None:
    """Called by Blender when the add-on is enabled."""
    from . import addon

    addon.register()


def unregister() -> None:
    """Called by Blender when the add-on is disabled: stops the engine and removes every trace."""
    from . import addon

    addon.unregister()
