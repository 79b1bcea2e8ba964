"""Files of strangers: what their images name is not opened, and what lies in what does not stop the marks."""
from __future__ import annotations

import os
import sys
import threading

import bpy
import pytest

from blender_sd.core.errors import SDError
from blender_sd.library.image_origin import Facts
from blender_sd.core.request import Request
from blender_sd.scene import images, inventory, marks
from blender_sd.library import lineage


@pytest.fixture
def opened():
    """What is opened whose path speaks of a server."""
    found: list[str] = []
    listening = [True]

    def heard(event: str, given: tuple) -> None:
        if listening[0] and event == "open" and "server" in str(given[0]):
            found.append(str(given[0]))

    sys.addaudithook(heard)
    yield found
    listening[0] = False


def test_images_of_a_hostile_file(tmp_path, opened):
    bpy.ops.wm.read_factory_settings(use_empty=True)
    pipe = tmp_path / "x.png"
    if hasattr(os, "mkfifo"):
        os.mkfifo(pipe)
    for path in (r"\\server\share\x.png", "/net/server/x.png", str(pipe)):
        image = bpy.data.images.new("x", 4, 4)
        image.source, image.filepath_raw = "FILE", path
        for call in (inventory.generated, lambda image=image: images.request_of(image),
                     lambda image=image: images.changed_on_disk(image),
                     lambda image=image: lineage.look_into(images.file_of(image))):
            def work(call=call):
                try:
                    call()
                except (SDError, OSError):
                    pass

            thread = threading.Thread(target=work, daemon=True)
            thread.start()
            thread.join(20)
            assert not thread.is_alive() and not opened, (path, opened)
        bpy.data.images.remove(image)


def test_groups_in_groups_in_groups():
    bpy.ops.wm.read_factory_settings(use_empty=True)
    marks.mark_loaded(image := bpy.data.images.new("wall", 4, 4), Facts("wall", Request(prompt="wall")))
    groups = [bpy.data.node_groups.new("group", "ShaderNodeTree") for _ in range(1501)]
    groups[-1].nodes.new("ShaderNodeTexImage").image = image
    for outer, inner in zip(groups, groups[1:]):  # noqa: B905
        outer.nodes.new("ShaderNodeGroup").node_tree = inner
    deep = bpy.data.materials.new("deep")
    if bpy.app.version < (5, 0):
        deep.use_nodes = True
    deep.node_tree.nodes.new("ShaderNodeGroup").node_tree = groups[0]
    assert marks.generated_in(deep) == [image]
    for work in (marks.on_save, inventory.generated, lambda: marks.refresh_one(deep)):
        work()
    assert marks.is_marked(deep)
    bpy.ops.wm.read_factory_settings(use_empty=True)
