"""Stage "data": render the training and held-out pictures once, into memory-mapped files.

    small    (N, 64, 64, 3)    whole periodic pictures
    large    (M, 128, 128, 3)  whole periodic pictures; zero-padded crops are cut from these
    held     (H, 64, 64, 3), held_large (H', 128, 128, 3)   never trained on
Each uint8 sRGB, with a JSON-lines file of specs beside it, and height maps (uint8).
Rendered scenes are another module's: :mod:`scenes`.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from . import anchors, materials, modifiers
from .surface import Spec

# name: (pictures, size, first seed)
SETS = {
    "held": (1984, 64, 900_000_000),
    "held_large": (496, 128, 910_000_000),
    "large": (12000, 128, 100_000_000),
    "small": (60000, 64, 200_000_000),
}
# Of each set the first so many show patterns in the sizes that the denoiser learns. The rest, by which judges learn to
# know patterns of all sizes, and the held-out ones show any.
SETTLED = {"large": 12000, "small": 40000}
MODIFIED = 0.4  # the share of pictures with a modifier, where one suits the family
_CHUNK = 64


def spec_of(name: str, index: int, modified: float = MODIFIED) -> Spec:
    """The spec of picture ``index`` of a set: families in turn, everything else drawn from its own seed.

    Whatever share of the pictures is ``modified``, the others are the same.
    """
    _, _, seed = SETS[name]
    family = materials.FAMILIES[index % len(materials.FAMILIES)]
    spec = materials.sample(np.random.default_rng(seed + index), family, modified)
    return anchors.settled(spec) if index < SETTLED.get(name, 0) else spec


def modified_specs(each: int, offset: int = 0) -> list[Spec]:
    """Return held-out specs, ``each`` of every modifier in turn, the families that it suits one after the other."""
    names, seed = list(modifiers.MODIFIERS), SETS["held"][2] + 20_000_000 + offset
    specs = []
    for index in range(each * len(names)):
        rng, name = np.random.default_rng(seed + index), names[index % len(names)]
        families = modifiers.FAMILIES[name]
        family = families[(offset + index // len(names)) % len(families)]
        specs.append(materials.with_modifier(materials.sample(rng, family), name, rng))
    return specs


def _render_chunk(job: tuple[str, str, int, int]) -> int:
    folder, name, start, stop = job
    pictures = np.load(Path(folder) / f"{name}.npy", mmap_mode="r+")
    heights = np.load(Path(folder) / f"{name}_height.npy", mmap_mode="r+")
    for index in range(start, stop):
        rgb, height = materials.render(spec_of(name, index), pictures.shape[1])
        pictures[index] = np.round(rgb * 255)
        heights[index] = np.round(height * 255)
    return stop - start


def prepare(folder: Path, log, workers: int = 2, share: float = 1.0) -> None:
    """Render every set that is not there yet. ``share`` < 1 makes the training sets smaller, for a trial."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (number, size, _) in SETS.items():
        done = folder / f"{name}.done"
        if done.exists():
            continue
        number = number if name.startswith("held") else max(int(number * share), 31)
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.uint8, (number, size, size, 3)).flush()
        np.lib.format.open_memmap(folder / f"{name}_height.npy", "w+", np.uint8, (number, size, size)).flush()
        lines = (json.dumps(asdict(spec_of(name, index))) for index in range(number))
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        jobs = [(str(folder), name, start, min(start + _CHUNK, number)) for start in range(0, number, _CHUNK)]
        finished = 0
        with get_context("fork").Pool(workers) as pool:
            for amount in pool.imap_unordered(_render_chunk, jobs):
                finished += amount
                if finished // 4096 != (finished - amount) // 4096:
                    log(f"data: {name} {finished}/{number}")
        done.touch()
        log(f"data: {name} ready, {number} pictures of {size} px")


def render_all(specs: list[Spec], size: int) -> np.ndarray:
    """Return renders of specs, (N, size, size, 3) uint8, as the sets hold them; needs no prepared files."""
    return np.stack([np.round(materials.render(spec, size)[0] * 255).astype(np.uint8) for spec in specs])


def load_set(folder: Path, name: str) -> tuple[np.ndarray, list[Spec]]:
    """A set's pictures (memory-mapped uint8) and specs."""
    pictures = np.load(folder / f"{name}.npy", mmap_mode="r")
    lines = (folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return pictures, [Spec(**json.loads(line)) for line in lines]


def load_heights(folder: Path, name: str) -> np.ndarray:
    """The height maps of a set, (N, S, S) uint8."""
    return np.load(folder / f"{name}_height.npy", mmap_mode="r")
