"""Measure one full draw of the tab SD, every panel open, with 200 models in the library and 5,000 pictures in the
history.

In a real Blender window (Xvfb), with the built extension. Each panel's `draw` is wrapped by the bench, and all panels
are made to be open from the start; then the sidebar is drawn again and again. The figure is the time that the add-on's
own code takes for one drawing of the whole tab, the calls into Blender's layout among it; what Blender does with the
layout afterwards is Blender's. Linux, as window tests.
"""
from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import envs
import test as checks

from . import common, pictures

DESCRIPTION = "one full draw of the tab, all panels open, with 200 models and 5,000 pictures, on 4.2 and 5.2"
MODELS, PICTURES, DRAWS = 200, 5000, 60
AREAS = ("VIEW_3D", "IMAGE_EDITOR")

_PREPARE = """
import json, time
from bl_ext.user_default import blender_sd as sd
from bl_ext.user_default.blender_sd import addon
from bl_ext.user_default.blender_sd.addon import history, panels, properties
from bl_ext.user_default.blender_sd.calls import history as history_calls
drawn = {{}}
def timed(name, draw):
    def wrapper(self, context):
        start = time.perf_counter()
        draw(self, context)
        drawn[name] = drawn.get(name, 0.0) + time.perf_counter() - start
    return wrapper
for cls in panels.CLASSES:
    if issubclass(cls, bpy.types.Panel):
        bpy.utils.unregister_class(cls)
        cls.bl_options = set(getattr(cls, "bl_options", ())) - {{"DEFAULT_CLOSED"}}
        cls.draw = timed(cls.__name__, cls.draw)
        bpy.utils.register_class(cls)
prefs = bpy.context.preferences.addons["bl_ext.user_default.blender_sd"].preferences
prefs.engine_python, prefs.output = {python!r}, {output!r}
prefs.model_folders.add().path = {models!r}
for _ in range(2):
    settings.controls.add()
settings.use_grid = settings.use_reference = True
settings.refine_scale, settings.mask_full_res = 2.0, True
material = bpy.data.materials.new("painted")
material.use_nodes = True
node = material.node_tree.nodes.new("ShaderNodeTexImage")
node.image = bpy.data.images.new("texture", 64, 64)
from bl_ext.user_default.blender_sd.core import image_origin, request
node.image["blender_sd"] = request.Request(prompt="old brick wall " * 20, source="sha256:" + "0" * 64).to_json()
parts = (image_origin.Part("LoRA", "aged"),) * 4
node.image["blender_sd_origin"] = image_origin.Origin(model="Brick", licence="mit", parts=parts).to_json()
material.node_tree.nodes.active = node
bpy.context.object.data.materials.clear()
bpy.context.object.data.materials.append(material)
"""
_DRAW = """
window = bpy.context.window_manager.windows[0]
region = next(r for a in window.screen.areas if a.ui_type == {area!r} for r in a.regions if r.type == "UI")
totals, each = [], {{}}
def step():
    if drawn:
        totals.append(1000 * sum(drawn.values()))
        for name, spent in drawn.items():
            each.setdefault(name, []).append(1000 * spent)
        drawn.clear()
    if len(totals) >= {draws}:
        return None
    region.tag_redraw()  # Blender draws between two timers
    return 0.0
drawn.clear()
bpy.app.timers.register(step)
"""


def run(log: Callable[[str], None]) -> dict:
    if missing := checks.missing_for_windows():
        raise RuntimeError(missing)
    figures: dict[str, float] = {}
    bars = {}
    with tempfile.TemporaryDirectory(prefix="sd-bench-", ignore_cleanup_errors=True) as place:
        folder = Path(place)
        log("writing models and pictures …")
        for number in range(MODELS):
            _model(folder / "models" / f"model {number:03}")
        pictures.paint(folder / "output", PICTURES)
        subprocess.run(
            [sys.executable, str(common.ROOT / "scripts" / "build.py"), "--output", place],
            check=True,
            stdout=sys.stderr,
        )
        for blender in checks.WINDOW_BLENDERS:
            log(f"Blender {blender} …")
            for area, (totals, each) in _measure(envs.ensure(envs.blender_env(blender)), folder).items():
                name = f"{blender} {area.lower()}"
                slowest = sorted(((common.median(times), panel) for panel, times in each.items()), reverse=True)
                log(
                    f"{name}: {len(each)} panels; slowest: "
                    + ", ".join(f"{panel} {spent:.2f} ms" for spent, panel in slowest[:4])
                )
                figures |= {f"{name} ms": common.median(totals), f"{name} p95 ms": common.percentile(totals, 95),
                            f"{name} panels": len(each)}
                bars[f"{name} ms"] = common.bar(common.median(totals), "< 2")
    return {"figures": figures, "bars": bars}


def _model(folder: Path) -> None:
    """Return a model as the library lists it; nothing is loaded from it."""
    (folder / "unet").mkdir(parents=True)
    index = {"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"]}
    (folder / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    (folder / "unet" / "config.json").write_text('{"sample_size": 64, "cross_attention_dim": 768}', encoding="utf-8")


def _measure(python: os.PathLike, folder: Path) -> dict[str, tuple[list[float], dict[str, list[float]]]]:
    """Return for each editor the milliseconds of each draw, in all and by panel."""
    if str(common.ROOT) not in sys.path:
        sys.path.insert(0, str(common.ROOT))
    from tests.support.window.harness import BlenderWindow

    archive = next(folder.glob("*.zip"))
    found = {}
    with BlenderWindow(
        str(python), [archive], common.ROOT / "out" / "bench" / "draw" / Path(python).parents[1].name
    ) as window:
        window.run_script(
            _PREPARE.format(python=sys.executable, output=str(folder / "output"), models=str(folder / "models"))
        )
        for area in AREAS:
            if area != "VIEW_3D":
                window.become(area)
            window.open_tab("SD", area)
            window.wait_for(
                f"history.shown().total == {PICTURES} and len(properties._model_items) > {MODELS}",
                120,
                "models and pictures",
            )
            window.wait_for("bpy.context.window_manager.sd.engine in ('ready', 'failed')", 180, "the engine")
            window.run_script("history.select(history.shown().entries[0].name)")
            window.run_script(_DRAW.format(area=area, draws=DRAWS))
            window.wait_for(f"len(totals) >= {DRAWS}", 300, "the draws")
            found[area] = tuple(window.run_script("result = totals, each"))
            window.screenshot(area.lower())
    return found
