"""The committed ControlNet of the starter model: its size, and that pictures keep to its control picture."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from blender_sd.engine import Engine
from blender_sd.protocol.messages import Source
from blender_sd.core.parts import Control
from blender_sd.core.request import Request

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).resolve().parents[2] / "blender_sd" / "models" / "starter_control"
SIDE = 96


@pytest.fixture(scope="module")
def engine():
    engine = Engine(device="cpu", preview_px=0, threads=1)
    yield engine
    engine.close()


def ring() -> Image.Image:
    """A height map: a raised ring."""
    picture = Image.new("L", (SIDE, SIDE), 40)
    draw = ImageDraw.Draw(picture)
    draw.ellipse((12, 12, 83, 83), fill=220)
    draw.ellipse((32, 32, 63, 63), fill=40)
    return picture


def edges(picture: Image.Image) -> np.ndarray:
    """Where brightness changes, softened."""
    grey = np.asarray(picture.convert("L").filter(ImageFilter.GaussianBlur(1.5)), float)
    return np.hypot(*np.gradient(grey))


def test_folder_fits_its_budget_and_carries_a_card():
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 8_000_000
    assert "CC0" in (FOLDER / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", ["heights", "lines"])
def test_pictures_keep_to_the_control_picture(engine, kind):
    heights = ring()
    shown = heights if kind == "heights" else Image.fromarray(np.uint8(edges(heights) > 12) * 255)
    source = Source(pixels=np.asarray(shown.convert("RGBA")))
    followed = []
    for prompt in ("grey stone wall", "red brick wall", "brown leather", "green grass"):
        for weight in (1.0, 0.0):
            request = Request(prompt=prompt, width=SIDE, height=SIDE, steps=6, guidance=3.0, seed=1, sampler="dpmpp_2m",
                              controls=(Control("image", "starter",
                                                weight),)).with_inputs({"control0": source.digest()})
            made, = engine._pictures(request, {"control0": source}, None)
            followed.append(np.corrcoef(edges(made).ravel(), edges(heights).ravel())[0, 1])
    with_control, without = np.mean(followed[::2]), np.mean(followed[1::2])
    assert with_control > without + 0.15, (kind, with_control, without)
