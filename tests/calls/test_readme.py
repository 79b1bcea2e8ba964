"""The README's two snippets, with and without Blender, give the same pixels."""
from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.calls import ROOT, engine_python

pytestmark = [pytest.mark.bpy, pytest.mark.newest]
README = (Path(__file__).resolve().parents[2] / "README.md").read_text("utf-8")


def keywords(call: str) -> str:
    """Return the arguments of the README's example of a call, in a small size."""
    found = re.search(rf"{re.escape(call)}\((.*?)\)(?:\[0\])?\s*(?:#|$)", README, re.M)
    assert found, call
    return found[1].replace("(512, 512)", "(64, 64)")


@pytest.mark.slow
def test_both_snippets_give_the_same_pixels(sd, tmp_path):
    there = tmp_path / "there.png"
    code = (f"from blender_sd.engine import Engine\n"
            f"Engine(device='cpu', threads=1).generate({keywords('Engine().generate')})[0].save({str(there)!r})\n")
    subprocess.run([engine_python(), "-c", code], cwd=ROOT, check=True, capture_output=True)
    job = eval(f"sd.generate({keywords('job = sd.generate')})", {"sd": sd})
    job.result()
    with Image.open(job.results[0].path) as here, Image.open(there) as other:
        assert np.array_equal(np.asarray(here), np.asarray(other))
