"""Measure the marks of generated images in a large file: on saving, on placing one image, and the report.

500 materials of ten nodes with an image each (half of them through a node group), 500 packed images, 1,000 objects;
Blender (bpy) without a window. All of it is the main thread's.
"""
from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from . import common, pictures

DESCRIPTION = "marks of 500 generated images on 500 materials: on saving, on placing one; and the report"
COUNT = 500
REPEATS = 9


def run(log: Callable[[str], None]) -> dict:
    import blender_sd

    with tempfile.TemporaryDirectory(prefix="sd-bench-", ignore_cleanup_errors=True) as folder:
        log(f"writing {COUNT} pictures …")
        pictures.paint(Path(folder), COUNT)
        blender_sd.register()
        try:
            log("making the file …")
            material = _fill(Path(folder))
            figures = _measure(material, Path(folder))
        finally:
            blender_sd.unregister()
    bars = {"marks on saving, nothing new, ms": common.bar(figures["save_marks_ms"], "< 50"),
            "marks on placing one image, ms": common.bar(figures["place_ms"], "< 50"),
            "marks on saving, all new, ms": common.bar(figures["first_marks_ms"], "< 100"),
            "report, ms": common.bar(figures["report_ms"], "< 1000")}
    return {"figures": figures, "bars": bars}


def _fill(folder: Path):
    import bpy

    from blender_sd.calls import history
    from blender_sd.scene import compat

    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    for number, path in enumerate(sorted(folder.glob("*.png"))):
        image = history.open_picture(str(path))
        material = bpy.data.materials.new(f"material {number}")
        tree = compat.node_tree_of(material)
        if number % 2:
            group = bpy.data.node_groups.new(f"group {number}", "ShaderNodeTree")
            tree.nodes.new("ShaderNodeGroup").node_tree = group
            group.nodes.new("ShaderNodeTexImage").image = image
        else:
            tree.nodes.new("ShaderNodeTexImage").image = image
        for _ in range(7):
            tree.nodes.new("ShaderNodeMath")
        for _ in range(2):
            mesh = bpy.data.meshes.new("mesh")
            mesh.materials.append(material)
            bpy.context.collection.objects.link(bpy.data.objects.new("object", mesh))
    return bpy.data.materials["material 0"]


def _measure(material, folder: Path) -> dict[str, float]:
    import bpy

    from blender_sd.calls import image_origin
    from blender_sd.scene import marks

    image = next(node.image for node in material.node_tree.nodes if node.type == "TEX_IMAGE")
    first = _timed(marks.on_save)
    assert all(marks.is_marked(one) for one in bpy.data.materials)
    path = os.path.join(folder, "film.blend")
    whole = [_timed(lambda: bpy.ops.wm.save_as_mainfile(filepath=path)) for _ in range(3)]
    placed = [_timed(lambda: marks.refresh([image])) for _ in range(REPEATS)]
    report = image_origin.report(format="csv")
    assert report.count("\r\n") == COUNT + 1
    return {"first_marks_ms": first, "save_marks_ms": common.median([_timed(marks.on_save) for _ in range(REPEATS)]),
            "whole_save_ms": common.median(whole), "place_ms": common.median(placed),
            "report_ms": common.median([_timed(image_origin.report) for _ in range(3)]),
            "report_unmarked_ms": _unmarked(image_origin.report)}


def _unmarked(report: Callable[[], str]) -> float:
    """Measure the report if no image has a mark, so that all packed files are read."""
    import bpy

    for image in bpy.data.images:
        for key in list(image.keys()):
            del image[key]
    took = _timed(report)
    assert f"{COUNT} generated images" in report()
    return took


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - start)
