"""Sources of a material's maps that are none: normal maps of all sorts, and pictures of something else."""
from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from blender_sd.core.errors import SourceUnusable
from blender_sd.engine.maps import height, judging

SIDE = 128


def grid() -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    return y, x


def bricks(steepness: float) -> np.ndarray:
    """Normals (H, W, 3) of rounded bricks with rough faces."""
    y, x = grid()
    row = np.floor(y * 8)
    across, down = (x * 4 + 0.5 * (row % 2)) % 1, (y * 8) % 1
    level = np.clip(np.minimum.reduce([across * 10, (1 - across) * 10, down * 5, (1 - down) * 5]), 0, 1) * 2
    rough = np.random.default_rng(3).normal(0, 0.1, level.shape)
    made = torch.from_numpy((level + rough) * steepness)[None, None].float()
    return height.normals(made)[0].permute(1, 2, 0).numpy()


def encoded(vectors: np.ndarray) -> np.ndarray:
    return np.rint((vectors * 0.5 + 0.5).clip(0, 1) * 255).astype(np.uint8)


def as_jpeg(pixels: np.ndarray, quality: int = 85) -> np.ndarray:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "JPEG", quality=quality)
    return np.asarray(Image.open(data))


def smaller(pixels: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BOX))


def with_srgb_curve(pixels: np.ndarray) -> np.ndarray:
    """What Blender shows of an EXR with normals that is read as light."""
    values = pixels / 255
    curve = np.where(values <= 0.0031308, values * 12.92, 1.055 * values ** (1 / 2.4) - 0.055)
    return np.rint(curve * 255).astype(np.uint8)


def with_blue(pixels: np.ndarray, blue: int) -> np.ndarray:
    return np.dstack([pixels[..., :2], np.full(pixels.shape[:2], blue, np.uint8)])


def in_an_atlas(pixels: np.ndarray) -> np.ndarray:
    cut = pixels.copy()
    cut[:, : SIDE // 3] = 0
    return cut


def tilted(vectors: np.ndarray) -> np.ndarray:
    leaning = vectors + (0.3, 0, 0)
    return leaning / np.linalg.norm(leaning, axis=-1, keepdims=True)


def of_object_space() -> np.ndarray:
    y, x = grid()
    turn = 2 * np.pi * x
    return np.stack([np.cos(turn) * np.sin(np.pi * y), np.sin(turn) * np.sin(np.pi * y), np.cos(np.pi * y)], -1)


NORMAL_MAPS = {
    "opengl": lambda: encoded(bricks(1.0)),
    "directx": lambda: encoded(bricks(1.0) * (1, -1, 1)),
    "faint": lambda: encoded(bricks(0.1)),
    "steep": lambda: encoded(bricks(4.0)),
    "flat": lambda: np.full((SIDE, SIDE, 3), (128, 128, 255), np.uint8),
    "jpeg": lambda: as_jpeg(encoded(bricks(1.0))),
    "jpeg, small file": lambda: as_jpeg(encoded(bricks(2.0)), 40),
    "jpeg, steep": lambda: as_jpeg(encoded(bricks(6.0))),
    "half its size": lambda: smaller(encoded(bricks(1.0)), 64),
    "a quarter of its size, steep": lambda: smaller(encoded(bricks(6.0)), 32),
    "read as light": lambda: with_srgb_curve(encoded(bricks(1.0))),
    "two axes, blue full": lambda: with_blue(encoded(bricks(1.0)), 255),
    "two axes, blue empty": lambda: with_blue(encoded(bricks(1.0)), 0),
    "z from 0 to 1": lambda: np.dstack([encoded(bricks(1.0))[..., :2],
                                        np.rint(bricks(1.0)[..., 2] * 255).astype(np.uint8)]),
    "atlas": lambda: in_an_atlas(encoded(bricks(1.0))),
    "leaning": lambda: encoded(tilted(bricks(0.5))),
    "object space": lambda: encoded(of_object_space()),
}


@pytest.mark.parametrize("kind", NORMAL_MAPS)
def test_normal_maps_are_refused(kind: str) -> None:
    with pytest.raises(SourceUnusable, match="normal map"):
        judging.refuse_normal_map(NORMAL_MAPS[kind]())


def lit(colour: tuple[int, int, int], share: float = 0.4, seed: int = 5) -> np.ndarray:
    """An uneven surface of one colour."""
    light = 1 - share * np.random.default_rng(seed).random((SIDE, SIDE, 1))
    return np.clip(np.array(colour) * light, 0, 255).astype(np.uint8)


def mosaic(*colours: tuple[int, int, int]) -> np.ndarray:
    """Stones of several colours, unevenly lit."""
    number = np.random.default_rng(4).integers(len(colours), size=(16, 16)).repeat(SIDE // 16, 0).repeat(SIDE // 16, 1)
    return (np.array(colours)[number] * (lit((255, 255, 255))[..., :1] / 255)).astype(np.uint8)


SURFACES = {
    "lavender, jpeg": lambda: as_jpeg(lit((150, 150, 255)), 40),
    "pink and teal": lambda: mosaic((220, 110, 220), (70, 190, 230)),
    "blue and white": lambda: mosaic((60, 60, 200), (240, 240, 240)),
    "lavender": lambda: lit((140, 140, 255)),
    "pale lavender": lambda: lit((128, 128, 230), 0.15),
    "olive": lambda: lit((140, 140, 0)),
    "grey": lambda: lit((128, 128, 128)),
    "white": lambda: lit((255, 255, 255), 0.1),
    "black": lambda: np.zeros((SIDE, SIDE, 3), np.uint8),
    "pink, one colour": lambda: np.full((SIDE, SIDE, 3), (200, 128, 230), np.uint8),
    "light blue, one colour": lambda: np.full((SIDE, SIDE, 3), (120, 140, 240), np.uint8),
    "noise": lambda: np.random.default_rng(2).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8),
}


@pytest.mark.parametrize("kind", SURFACES)
def test_surfaces_are_no_normal_maps(kind: str) -> None:
    judging.refuse_normal_map(SURFACES[kind]())


def drawn(background: tuple[int, int, int], *shapes) -> np.ndarray:
    """A picture of shapes, each a method of ImageDraw, its box and its colour, with a little noise of a camera."""
    picture = Image.new("RGB", (SIDE, SIDE), background)
    for name, box, colour in shapes:
        getattr(ImageDraw.Draw(picture), name)(box, fill=colour)
    return np.asarray(picture)


def portrait() -> np.ndarray:
    clear = drawn((120, 150, 180), ("ellipse", (40, 20, 88, 85), (230, 190, 160)),
                  ("ellipse", (35, 10, 93, 45), (60, 40, 20)), ("rectangle", (25, 90, 103, 127), (150, 30, 30)))
    return np.clip(clear + np.random.default_rng(1).normal(0, 5, clear.shape), 0, 255).astype(np.uint8)


def sky() -> np.ndarray:
    y, _ = grid()
    return np.stack([90 + 120 * y, 140 + 80 * y, 230 - 10 * y], -1).astype(np.uint8)


def page() -> np.ndarray:
    picture = Image.new("RGB", (256, 256), "white")
    for line in range(12):
        ImageDraw.Draw(picture).text((16, 16 + 19 * line), "The quick brown fox jumps", fill="black")
    return np.asarray(picture)


def sphere() -> np.ndarray:
    y, x = grid()
    away = np.hypot(x - 0.5, y - 0.5) / 0.3
    light = np.sqrt(np.clip(1 - away ** 2, 0, 1))[..., None] * np.array([200, 80, 60])
    return np.where((away < 1)[..., None], light, 128).astype(np.uint8)


@pytest.mark.parametrize("picture", [portrait, sky, page, sphere])
def test_pictures_of_something_else_are_reported(picture) -> None:
    pixels = picture()
    assert any("no material" in note for note in judging.doubts(pixels, all(judging.wraps(pixels))))


def checks() -> np.ndarray:
    y, x = grid()
    return np.where((((x * 8).astype(int) + (y * 8).astype(int)) % 2 == 1)[..., None], 20, 230).repeat(
        3, -1).astype(np.uint8)


def mortared() -> np.ndarray:
    """Bricks whose mortar, of one colour, runs along the border."""
    return np.where((bricks(1.0)[..., 2:] > 0.9), (150, 70, 50), (200, 200, 190)).astype(np.uint8)


@pytest.mark.parametrize("picture", [checks, mortared, lambda: lit((150, 100, 60)), lambda: lit((90, 90, 90), 0.9)])
def test_materials_are_not_reported(picture) -> None:
    pixels = picture()
    assert judging.doubts(pixels, all(judging.wraps(pixels))) == []
