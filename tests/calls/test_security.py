"""While Blender paints with a real engine, nobody else can speak to either; and a token is in nothing that is kept."""
from __future__ import annotations

import os
import sys
from pathlib import Path

import bpy
import pytest

from blender_sd.calls import config
from blender_sd.calls.runtime import runtime
from tests.support.calls import run_until
from tests.support.open_sockets import listening

pytestmark = pytest.mark.bpy

TOKEN = "hf_canaryCanary"


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's tables")
def test_nobody_else_can_speak_to_blender_or_the_engine(sd, painting):
    job = sd.generate("red brick", **painting)
    run_until(sd, lambda: job.step > 0)
    engine = runtime.session._workers[0]._pipeline.pid
    assert engine and listening(engine) == [] and listening(os.getpid()) == []
    ends = [os.readlink(f"/proc/{engine}/fd/{name}") for name in os.listdir(f"/proc/{engine}/fd")]
    assert sum(end.startswith("pipe:") for end in ends) >= 2, "the messages go through pipes without a name"
    job.cancel()


def test_a_token_is_in_nothing_that_is_kept(sd, small, tmp_path, monkeypatch):
    monkeypatch.setattr(runtime, "config", config.replace(runtime.config, hub_token=TOKEN))
    image = sd.generate("red brick", **small).result()[0]
    file = tmp_path / "scene.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(file), compress=False)
    kept = [file, Path(bpy.path.abspath(image.filepath)), *runtime.folders.output_folder().glob("*.log")]
    assert not [path for path in kept if TOKEN.encode() in path.read_bytes()]
    assert TOKEN not in repr(runtime.config) and TOKEN not in image["blender_sd"]
