"""Stable Diffusion inside Blender. `import blender_sd` works in any Python: bpy is imported only when it is needed.

    import blender_sd as sd                # installed as an extension: from bl_ext.user_default import blender_sd as sd
    job = sd.generate("red brick wall", seed=7)
    image = job.result()[0]
    sd.apply(image, bpy.context.object)

The modules of `calls` document every call. The engine works without Blender too: `from blender_sd.engine import
Engine`.
"""
from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

_CALLS = {
    "text_to_image": ("generate",),
    "image_to_image": ("restyle",),
    "upscaling": ("upscale",),
    "seed_walk": ("seed_walk",),
    "inpainting": ("inpaint", "make_seamless", "outpaint"),
    "control_images": ("control", "control_image"),
    "regions": ("region", "region_mask"),
    "baking": ("bake", "project"),
    "texturing": ("texture_object",),
    "sequences": ("forget_shot", "pause_job", "restyle_sequence", "resume_job"),
    "recalling": ("recall", "run"),
    "placing": ("apply", "purge_replaced"),
    "job_queue": ("cancel_all", "clear_jobs", "jobs", "move_job", "pump", "shutdown", "wait"),
    "engine_control": ("configure", "engine_status", "output_folder", "start_engine"),
    "assets": ("asset_libraries", "save_material"),
    "material_lists": ("batch_materials",),
    "material_maps": ("export_maps", "map_sources", "material", "pbr_maps", "set_relief"),
    "models": ("choose", "controlnets", "find_model", "ip_adapters", "known_unusable", "loras", "models",
               "refresh_models", "samplers", "upscalers", "vaes"),
    "history": ("empty_trash", "favourite", "history", "open_picture", "restore", "trash"),
    "content_credentials": ("credentials", "has_credentials"),
    "image_origin": ("mark_baked", "report", "trace"),
    "installation": ("accelerator_choices", "check_python", "detect_accelerator", "download_wheels",
                     "engine_environment", "engine_known", "engine_place", "find_pythons", "install_engine",
                     "installations", "remove_engine"),
    "policy": ("policy",),
    "reading": ("read_settings",),
    "bug_report": ("log_file", "problem_report"),
    "styles": ("delete_style", "export_style", "find_style", "import_style", "save_style", "styles"),
    "downloads": ("clear_unfinished", "downloads", "fetch", "hub_models", "models_folder"),}
_MODULES = {name: module for module, names in _CALLS.items() for name in names}

__all__ = [*_MODULES, "register", "unregister"]


def __getattr__(name: str) -> Any:
    """The scripting API, imported on first use: the engine process and plain Python have no bpy to import it with."""
    if name in _MODULES:
        return getattr(import_module(f".calls.{_MODULES[name]}", __package__), name)
    # Python suggests one
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name, obj=sys.modules[__name__])


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])


def register() -> None:
    """Called by Blender when the add-on is enabled."""
    from . import addon

    addon.register()


def unregister() -> None:
    """Called by Blender when the add-on is disabled: stops the engine and removes every trace."""
    from . import addon

    addon.unregister()


def glTF2_pre_export_callback(_settings: dict[str, Any]) -> None:  # noqa: N802 (the exporter looks for this name)
    """Called by Blender's glTF exporter before it reads the materials."""
    from . import scene

    scene.settle_scales()
