"""Rendered scenes: simple objects on a floor, in a material or a plain colour, as Cycles shows them.

They teach the denoiser what a render looks like, and the ControlNet the depth and line pictures that the add-on draws
from a scene's geometry, so that restyling a render yields clean materials and shapes. Each scene is fully described by
its number. Its layers, (N, 192, 192) or (N, 192, 192, 3) uint8, are files beside each other:

    picture   what has been rendered, sRGB
    twin      the same with everything that shows the material in neutral grey: what a restyle starts from
    depth     the add-on's control picture of that name
    lines     the add-on's control picture of that name
    things    what each pixel shows: 0 nothing, 1, 2, … the objects, `FLOOR`, `WALL`

Blender renders them (:mod:`scene_render`) in processes of their own. A run that was interrupted goes on where it was.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import captions, data, materials, palette
from .surface import Spec

SIZE = 192
# name: (scenes, first seed, share of the materials with a modifier)
SETS = {"scenes": (3000, 320_000_000, data.MODIFIED), "held_scenes": (62, 920_000_000, 0.0)}
LAYERS = {"picture": (3,), "twin": (3,), "depth": (), "lines": (), "things": ()}
FLOOR, WALL = 101, 102
# The objects, and what `captions.SCENE_WORDS` calls them.
SHAPES = {"sphere": "sphere", "box": "box", "bevelled box": "box", "cylinder": "cylinder", "torus": "torus",
          "monkey": "monkey", "cloth": "cloth", "stairs": "stairs"}  # fmt: skip
_PLAIN = 0.2  # the share of scenes in a plain colour
_ROOM = 0.15  # the share of the others whose floor and wall show the material


@dataclass(frozen=True)
class Scene:
    """What a scene shows.

    Attributes:
        shapes: the objects, names of `SHAPES`.
        spec: the material of what the scene is about, or None for a plain colour.
        colour: the plain colour, a name of the palette.
        room: whether floor and wall show the material rather than the objects.
        seed: what everything else is drawn from.
    """

    shapes: tuple[str, ...]
    spec: Spec | None
    colour: str
    room: bool
    seed: int

    @property
    def word(self) -> str:
        """What `captions.SCENE_WORDS` calls the things that show the material; "" if they are of several kinds."""
        return "plane" if self.room else SHAPES[self.shapes[0]] if len(set(self.shapes)) == 1 else ""


def scene_of(name: str, index: int) -> Scene:
    """Return scene ``index`` of a set: families in turn, everything else drawn from its own seed."""
    _, first, modified = SETS[name]
    seed = first + index
    rng = np.random.default_rng(seed)
    spec = materials.sample(rng, materials.FAMILIES[index % len(materials.FAMILIES)], modified)
    count = int(rng.choice((1, 2, 3), p=(0.5, 0.3, 0.2)))
    shapes = tuple(str(shape) for shape in rng.choice(list(SHAPES), count))
    colour = palette.NAMES[rng.integers(len(palette.NAMES))]
    plain, room = rng.random() < _PLAIN, rng.random() < _ROOM
    return Scene(shapes, None if plain else spec, colour, room and not plain, seed)


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """Return a random caption of a scene's picture."""
    if scene.word:
        return captions.scene_caption(scene.word, scene.spec, scene.colour, rng)
    words = captions.RENDER_WORDS
    shown = words[rng.integers(len(words))]
    if scene.spec is None:
        plain = captions.PLAIN_WORDS[rng.integers(len(captions.PLAIN_WORDS))]
        return f"{plain} {captions.colour_word(scene.colour, '', rng)}, {shown}"
    text = captions.caption(scene.spec, rng)
    return text if rng.random() < 0.5 else f"{text}, {shown}"


def prompt(scene: Scene) -> str:
    """Return the plain words that a scene's twin is restyled with when the model is measured."""
    if scene.spec is None:
        return f"plain {scene.colour}, 3d render"
    return captions.canonical(scene.spec).replace("seamless texture", "3d render")


def shown(scene: Scene, things: np.ndarray) -> list[np.ndarray]:
    """Return where each part that shows the material is: masks (S, S) bool, of what the picture ``things`` names."""
    numbers = (FLOOR, WALL) if scene.room else range(1, len(scene.shapes) + 1)
    return [things == number for number in numbers if (things == number).any()]


def prepare(folder: Path, name: str, log: Callable[[str], None], workers: int = 2, count: int | None = None) -> None:
    """Render the scenes of a set that are not there yet, in ``workers`` processes.

    Args:
        folder: where the layers are.
        name: one of `SETS`.
        log: called with how far it is.
        workers: how many processes render.
        count: render only the first so many.

    Raises:
        RuntimeError: Blender could not render; the text is the end of what it wrote.
    """
    number = SETS[name][0] if count is None else count
    lay_out(folder, name, number)
    missing = number - int(ready(folder, name).sum())
    if not missing:
        return
    log(f"{name}: {missing} of {number} to render")
    parts = [_start(folder, name, part, workers) for part in range(workers)]
    try:
        for part in parts:
            while not _ended(part):
                log(f"{name}: {int(ready(folder, name).sum())} of {number}")
    finally:
        for part in parts:
            part.terminate()
    if not ready(folder, name).all():
        ends = (_path(folder, name, f"{part}.log").read_text(encoding="utf-8")[-1000:] for part in range(workers))
        raise RuntimeError("\n".join(ends))
    log(f"{name}: ready, {number} scenes of {SIZE} px")


def lay_out(folder: Path, name: str, number: int) -> None:
    """Make the files of a set of ``number`` scenes; those that are there stay, the others are missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for layer, channels in {**LAYERS, "ready": None}.items():
        path = _path(folder, name, f"{layer}.npy")
        shape = (number,) if channels is None else (number, SIZE, SIZE, *channels)
        kept = np.load(path, mmap_mode="r") if path.exists() else np.empty(0)
        if kept.shape == shape:
            continue
        temporary = path.with_suffix(".part")
        file = np.lib.format.open_memmap(temporary, "w+", np.uint8, shape)
        if kept.shape[1:] == shape[1:]:
            file[: len(kept)] = kept[:number]
        file.flush()
        temporary.replace(path)


def ready(folder: Path, name: str) -> np.ndarray:
    """Return which scenes of a set are there, (N,) uint8 that can be written."""
    return np.load(_path(folder, name, "ready.npy"), mmap_mode="r+")


def load(folder: Path, name: str, mode: str = "r") -> dict[str, np.ndarray]:
    """Return a set's layers, memory-mapped."""
    return {layer: np.load(_path(folder, name, f"{layer}.npy"), mmap_mode=mode) for layer in LAYERS}


def _start(folder: Path, name: str, part: int, workers: int) -> subprocess.Popen:
    command = [sys.executable, "-m", "starter.scene_render", str(folder), name, str(part), str(workers)]
    with open(_path(folder, name, f"{part}.log"), "w", encoding="utf-8") as file:
        scripts = Path(__file__).resolve().parents[1]
        return subprocess.Popen(command, cwd=scripts, stdout=subprocess.DEVNULL, stderr=file)


def _ended(part: subprocess.Popen) -> bool:
    """Wait for a process, at most a minute; return whether it has ended."""
    try:
        part.wait(60)
    except subprocess.TimeoutExpired:
        return False
    return True


def _path(folder: Path, name: str, file: str) -> Path:
    return folder / f"{name}_{file}"
