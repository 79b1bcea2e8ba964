"""Make the files that tests/blender/test_saved.py opens: a scene, preferences, a settings preset and a style, as a
build of the add-on saved them, with every setting away from its default.

    PYTHON-WITH-BPY tests/saved/make.py extension.zip tests/saved/0.1.0-blender-4.2

Run it with the build whose files are to be kept, never to refresh the files of an earlier build.
"""
from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

# read once, when bpy is imported
_USER = os.environ.get("BLENDER_USER_RESOURCES") or tempfile.mkdtemp(prefix="blender_sd_saved_")
os.environ["BLENDER_USER_RESOURCES"] = _USER

import bpy  # noqa: E402

MODULE = "bl_ext.user_default.blender_sd"
SKIPPED = {
    "model_choice",  # a view of `model`, the text that is saved
    "in_thread",     # needs torch inside Blender
    "section",       # which page of the preferences is open
}


def other_value(prop: bpy.types.Property) -> Any:
    """Return a value for `prop` that is not its default and lies within its limits."""
    if prop.type == "BOOLEAN":
        return not prop.default
    if prop.type == "INT":
        return prop.default + 1 if prop.default < prop.hard_max else prop.default - 1
    if prop.type == "FLOAT":
        return (prop.default
                + min(prop.hard_max, prop.default + 1.0)) / 2 if prop.default < prop.hard_max else prop.default * 0.5
    if prop.type == "ENUM":
        names = [item.identifier for item in prop.enum_items_static]
        return next(name for name in reversed(names) if name != prop.default)
    return f"saved {prop.identifier}"


def change(owner: bpy.types.bpy_struct) -> None:
    """Set every property of `owner` to something else than its default, collections' items too."""
    for prop in owner.bl_rna.properties:
        name = prop.identifier
        if name in ("rna_type", "bl_idname") or name in SKIPPED or (prop.is_readonly and prop.type != "COLLECTION"):
            continue
        if prop.type == "COLLECTION":
            for _ in range(2):
                change(getattr(owner, name).add())
        elif prop.type == "POINTER":
            kind = prop.fixed_type.identifier
            block = bpy.data.images[
                "Painted"] if kind == "Image" else bpy.data.texts["Prompt"] if kind == "Text" else None
            if block is not None:
                setattr(owner, name, block)
        else:
            setattr(owner, name, other_value(prop))


def values(owner: bpy.types.bpy_struct) -> dict[str, Any]:
    """Return what `owner` holds, as JSON: pointers as the names of their datablocks, collections as lists."""
    read: dict[str, Any] = {}
    for prop in owner.bl_rna.properties:
        name = prop.identifier
        if name in ("rna_type", "bl_idname") or name in SKIPPED:
            continue
        value = getattr(owner, name)
        if prop.type == "COLLECTION":
            read[name] = [values(item) for item in value]
        elif prop.type == "POINTER":
            read[name] = value.name if value is not None else None
        elif prop.type == "FLOAT":
            read[name] = round(value, 5)
        elif getattr(prop, "is_array", False):
            read[name] = list(value)
        else:
            read[name] = value
    return read


def preferences() -> bpy.types.AddonPreferences:
    """Return the add-on's preferences."""
    return bpy.context.preferences.addons[MODULE].preferences


def make(archive: str, folder: Path) -> None:
    """Save the files of the build in `archive` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.extensions.package_install_files(filepath=archive, repo="user_default", enable_on_install=True,
                                             overwrite=True)
    sd = sys.modules[MODULE]

    image = bpy.data.images.new("Painted", 8, 8)
    mask = bpy.data.images.new("Painted mask", 8, 8)
    image.pack()
    mask.pack()
    image.sd_mask = mask
    bpy.data.texts.new("Prompt").write("a wall\nof bricks")
    change(bpy.context.scene.sd)
    change(bpy.context.scene.sd_live)
    scene_file = str(folder / "scene.blend")
    bpy.ops.wm.save_as_mainfile(filepath=scene_file, compress=True)

    preset = Path(bpy.utils.user_resource("SCRIPTS", path="presets/blender_sd", create=True))
    bpy.ops.sd.setting_preset_add(name="Saved")
    shutil.copyfile(next(preset.glob("*.py")), folder / "preset.py")

    style = sd.save_style("Saved", description="A saved style", group="Mine", prompt="{prompt}, saved", negative="blur",
                          width=320, height=256, steps=13, guidance=4.5, sampler="euler_a", tiling="x", strength=0.4)
    sd.export_style(style.name, str(folder / "style.toml"))

    change(preferences())
    bpy.ops.wm.save_userpref()
    shutil.copyfile(Path(_USER) / "config" / "userpref.blend", folder / "userpref.blend")

    bpy.ops.wm.open_mainfile(filepath=scene_file)
    expected = {"scene": values(bpy.context.scene.sd), "live": values(bpy.context.scene.sd_live),
                "mask": bpy.data.images["Painted"].sd_mask.name, "preferences": values(preferences()),
                "blender": bpy.app.version_string}
    (folder / "expected.json").write_text(json.dumps(expected, indent=1, sort_keys=True), encoding="utf-8")


if __name__ == "__main__":
    try:
        make(os.path.abspath(sys.argv[1]), Path(sys.argv[2]).resolve())
    finally:
        shutil.rmtree(_USER, ignore_errors=True)
