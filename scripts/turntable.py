"""Make the picture of textured objects for the README and the guide.

    python scripts/turntable.py [FILE [OBJECT PROMPT]…]

Objects are those of the bench "texture"; without any, it is Suzanne in a stone wall. The starter model textures each
from all sides; it is shown from six others, lit from above. Needs the module bpy for Suzanne, beside torch.
"""
from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import envs

sys.path.insert(0, str(envs.ROOT))

OBJECTS = (("suzanne", "grey stone wall", 3),)
SIDE, VIEW, STEPS = 320, 256, 12
TURNS = 6


def main(path: Path, objects: Sequence[tuple[str, str, int]] = OBJECTS) -> None:
    import numpy as np
    from PIL import Image

    from scripts.benches import texture
    from scripts.benches._texture import compared

    rows = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, texture._engine() as engine:
        subprocess.run([sys.executable, "-m", "scripts.benches._oracle.export", folder], cwd=envs.ROOT, check=True)
        for name, prompt, seed in objects:
            part = texture.shapes(Path(folder))[name]
            views, _, (_, baked) = texture.painted(engine, part, prompt, seed, VIEW, steps=STEPS, sides="",
                                                   more_views=6)
            rows.append(np.concatenate(turned(views.stage, compared.encoded(baked.colours)), 1))
            print(f"{name}: {prompt}")
    Image.fromarray(np.concatenate(rows)).save(path, optimize=True)


def turned(stage, texture) -> list:
    """Return an object from all sides, between the views that were painted: H×W×3 uint8 each."""
    import math

    import numpy as np

    from blender_sd.geometry import cameras, showing
    from blender_sd.geometry.agreement import look

    light = np.array([-0.4, -0.5, 0.75])
    angles = [2 * math.pi * (number + 0.35) / TURNS for number in range(TURNS)]
    views = [cameras.toward(stage.surface, np.array([math.sin(angle), -math.cos(angle), 0.45]), 2 * SIDE)
             for angle in angles]
    scale = min(view.scale for view in views)
    pictures = []
    for angle, view in zip(angles, views):
        sight = look(stage.surface, replace(view, scale=scale))
        image = np.rint(texture * 255).astype(np.uint8)
        shown, there = showing.textured(stage.surface, sight, stage.sheets, [image], np.full(3, 60.0))
        shade = np.ones(there.size)
        corner = stage.surface.corner_normals[sight.triangle].mean(1)
        turn = np.array([[math.cos(angle), math.sin(angle), 0], [-math.sin(angle), math.cos(angle), 0], [0, 0, 1]])
        shade[sight.pixel] = 0.45 + 0.6 * np.maximum(corner @ turn.T @ light, 0)
        lit = np.clip(shown * shade.reshape(there.shape)[..., None], 0, 255)
        pictures.append(lit.reshape(SIDE, 2, SIDE, 2, 3).mean((1, 3)).astype(np.uint8))
    return pictures


if __name__ == "__main__":
    file, *given = sys.argv[1:] or [envs.ROOT / "docs" / "images" / "texture-object.png"]
    main(Path(file), [(name, prompt, OBJECTS[0][2]) for name, prompt in zip(given[::2], given[1::2])] or OBJECTS)
