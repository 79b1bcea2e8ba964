"""While Blender paints with a real engine, nobody else can speak to either; and a token is in nothing that is kept."""
from __future__ import annotations

import os
import sys
from pathlib import Path

import bpy
import pytest
from conftest import run_until

from blender_sd import config

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from open_sockets import listening

TOKEN = "hf_canaryCanary"


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's tables")
def test_nobody_else_can_speak_to_blender_or_the_engine(sd, painting):
    job = sd.generate("red brick", **painting)
    run_until(sd, lambda: job.step > 0)
    engine = sd._session._worker._pipeline.pid
    assert engine and listening(engine) == [] and listening(os.getpid()) == []
    ends = [os.readlink(f"/proc/{engine}/fd/{name}") for name in os.listdir(f"/proc/{engine}/fd")]
    assert sum(end.startswith("pipe:") for end in ends) >= 2, "the messages go through pipes without a name"
    job.cancel()


def test_a_token_is_in_nothing_that_is_kept(sd, small, tmp_path, monkeypatch):
    monkeypatch.setattr(config, "current", config.replace(config.current, hub_token=TOKEN))
    image = sd.generate("red brick", **small).result()[0]
    file = tmp_path / "scene.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(file), compress=False)
    kept = [file, Path(bpy.path.abspath(image.filepath)), *config.output_folder().glob("*.log")]
    assert not [path for path in kept if TOKEN.encode() in path.read_bytes()]
    assert TOKEN not in repr(config.current) and TOKEN not in image["blender_sd"]
