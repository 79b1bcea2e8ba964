"""Stable Diffusion inside Blender. `import blender_sd` works in any Python: bpy is imported only when it is needed.

    import blender_sd as sd                # installed as an extension: from bl_ext.user_default import blender_sd as sd
    job = sd.generate("red brick wall", seed=7)
    image = job.result()[0]
    sd.apply(image, bpy.context.object)

`api`, `catalogue`, `studio`, `stylebook`, `assets`, `batch`, `past`, `proofs`, `hub` and `setup` document every call. The engine works
without Blender too: `from blender_sd.engine import Engine`.
"""
from __future__ import annotations

from importlib import import_module
from typing import Any

_CALLS = {
    "api": ("apply", "cancel_all", "clear_jobs", "configure", "control", "control_image", "engine_status", "generate", "inpaint", "jobs",
            "make_seamless", "move_job", "outpaint", "output_folder", "pump", "recall", "restyle", "run", "shutdown", "start_engine",
            "upscale", "wait"),
    "assets": ("asset_libraries", "save_material"),
    "batch": ("batch_materials",),
    "catalogue": ("controlnets", "find_model", "ip_adapters", "loras", "models", "refresh_models", "samplers", "upscalers"),
    "past": ("empty_trash", "favourite", "history", "open_picture", "restore", "trash"),
    "proofs": ("credentials", "has_credentials"),
    "setup": ("accelerator_choices", "check_python", "detect_accelerator", "engine_environment", "engine_known", "engine_place",
              "install_engine", "installations", "remove_engine"),
    "studio": ("policy",),
    "support": ("log_file", "problem_report"),
    "stylebook": ("delete_style", "export_style", "find_style", "import_style", "save_style", "styles"),
    "hub": ("clear_unfinished", "downloads", "fetch", "hub_models", "models_folder"),
}
_ROOMS = {name: room for room, names in _CALLS.items() for name in names}

__all__ = [*_ROOMS, "register", "unregister"]


def __getattr__(name: str) -> Any:
    """The scripting API, imported on first use: the engine process and plain Python have no bpy to import it with."""
    if name in _ROOMS:
        import_module(".catalogue", __package__)  # which hears of what the hub brings
        return getattr(import_module(f".{_ROOMS[name]}", __package__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_ROOMS])


def register() -> None:
    """Called by Blender when the add-on is enabled."""
    from . import addon

    addon.register()


def unregister() -> None:
    """Called by Blender when the add-on is disabled: stops the engine and removes every trace."""
    from . import addon

    addon.unregister()
