"""Stage "maps", its data: physical maps drawn ahead into files, and batches of them under new light each time.

Files of ``CHUNK`` materials each in ``.cache/starter/maps``: ``colours`` (N, 5, S, S) uint8 with base colour,
roughness and metallic, ``height`` (N, S, S) float16 in pixels, and the family of each. The sets "seen" (families that
are trained on, other seeds) and "unseen" (families never trained on) are for measuring alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from . import lighting, physical

SIZE = 128
CHUNK = 108
CHUNKS = 48
_OFTEN = 50  # batches after which new files are looked for
_STRANGE = 0.5  # share of the pictures without metal whose colour channels change places
_FIRST_SEED = {"train": 500_000_000, "seen": 600_000_000, "unseen": 700_000_000}
MEASURED = {"seen": 8, "unseen": 16}  # pictures of each family


def draw(which: str, number: int, size: int = SIZE) -> tuple[dict[str, np.ndarray], str]:
    """Material ``number`` of a set: families in turn, everything else from its own seed."""
    families = physical.families(which == "unseen")
    family = families[number % len(families)]
    return physical.render(physical.sample(np.random.default_rng(_FIRST_SEED[which] + number), family), size), family


def pack(which: str, start: int, stop: int) -> dict[str, np.ndarray]:
    """Materials of a set as they are kept in files."""
    drawn = [draw(which, number) for number in range(start, stop)]
    colours = [
        np.concatenate([np.moveaxis(m["base"], 2, 0), m["roughness"][None], m["metallic"][None]]) for m, _ in drawn
    ]
    return {
        "colours": np.round(np.clip(colours, 0, 1) * 255).astype(np.uint8),
        "height": np.stack([m["height"] for m, _ in drawn]).astype(np.float16),
        "family": np.array([family for _, family in drawn]),
    }


def _write(folder: Path, first: int, stride: int) -> None:
    torch.set_num_threads(1)
    for index in range(first, CHUNKS, stride):
        path = folder / f"train_{index:03}.npz"
        if not path.exists():
            part = path.with_suffix(".part.npz")
            np.savez(part, **pack("train", index * CHUNK, (index + 1) * CHUNK))
            part.replace(path)


def start_writing(folder: Path, workers: int = 1) -> list:
    """Draw the training files that are missing, in other processes."""
    folder.mkdir(parents=True, exist_ok=True)
    team = [
        get_context("spawn").Process(target=_write, args=(folder, first, workers), daemon=True)
        for first in range(workers)
    ]
    for process in team:
        process.start()
    return team


def measured(which: str) -> tuple[dict[str, Tensor], np.ndarray]:
    """The maps of a measured set as tensors, and their families."""
    number = MEASURED[which] * len(physical.families(which == "unseen"))
    packed = pack(which, 0, number)
    return tensors(packed["colours"], packed["height"]), packed["family"]


def tensors(colours: np.ndarray, height: np.ndarray) -> dict[str, Tensor]:
    """Kept arrays as the maps that :func:`lighting.shade` takes."""
    parts = torch.from_numpy(np.ascontiguousarray(colours)).float() / 255
    level = torch.from_numpy(np.ascontiguousarray(height)).float()[:, None]
    return {"base": parts[:, :3], "roughness": parts[:, 3:4], "metallic": parts[:, 4:5], "height": level}


def lit(maps: dict[str, Tensor], rng: np.random.Generator, simply: float = 0.25) -> Tensor:
    """Pictures of a batch under drawn light; a share of ``simply`` as the starter model's pictures are lit."""
    batch, size = maps["base"].shape[0], maps["base"].shape[-1]
    picture = lighting.shade(maps, lighting.draw(rng, batch, size))
    plain = torch.from_numpy(rng.random(batch) < simply)[:, None, None, None]
    picture = torch.where(plain, lighting.painted(maps, rng), picture)
    grain = torch.from_numpy(rng.standard_normal(picture.shape).astype(np.float32))
    return (picture + grain * torch.from_numpy(rng.uniform(0, 0.012, (batch, 1, 1, 1))).float()).clamp(0, 1)


class Batches(IterableDataset):
    """Batches from the files drawn so far: turned, mirrored, rolled and tinted at random, newly lit."""

    def __init__(self, folder: Path, rng: np.random.Generator):
        self.folder, self.rng = folder, rng
        self.names: list[Path] = []
        self.colours: list[np.ndarray] = []
        self.heights: list[np.ndarray] = []
        self.families: list[np.ndarray] = []
        self.known = np.array(sorted(physical.families(False)))

    def stream(self, batch: int) -> Iterator[tuple[Tensor, dict[str, Tensor], Tensor]]:
        """What :meth:`take` gives, without end, made in a process of its own: lighting a batch takes a fifth as long
        as learning from it."""
        self.batch = batch
        loader = DataLoader(self, None, num_workers=1, prefetch_factor=3, multiprocessing_context="spawn")
        return iter(loader)

    def __iter__(self) -> Iterator[tuple[Tensor, dict[str, Tensor], Tensor]]:
        torch.set_num_threads(1)
        while not self.look():
            time.sleep(1)
        while True:
            for _ in range(_OFTEN):
                yield self.take(self.batch)
            self.look()

    def look(self) -> int:
        """Take in files that have appeared; returns how many there are."""
        for path in sorted(self.folder.glob("train_???.npz")):
            if path not in self.names:
                with np.load(path) as data:
                    self.names.append(path)
                    self.colours.append(data["colours"])
                    self.heights.append(data["height"])
                    self.families.append(np.searchsorted(self.known, data["family"]))
        return len(self.names)

    def take(self, batch: int) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """Pictures (B, 3, S, S), their maps, and the numbers of their families in ``known``."""
        colours, heights, families = [], [], []
        for _ in range(batch):
            file, item = self.rng.integers(len(self.names)), self.rng.integers(CHUNK)
            turn, flip, roll = self.rng.integers(4), self.rng.random() < 0.5, self.rng.integers(0, SIZE, 2)
            pair = [self.colours[file][item], self.heights[file][item][None]]
            for index, value in enumerate(pair):
                value = np.rot90(value, turn, (1, 2))
                value = value[:, :, ::-1] if flip else value
                pair[index] = np.roll(value, roll, (1, 2))
            if pair[0][4].max() == 0 and self.rng.random() < _STRANGE:
                pair[0] = pair[0][[*self.rng.permutation(3), 3, 4]]
            colours.append(pair[0])
            heights.append(pair[1][0])
            families.append(self.families[file][item])
        maps = tensors(np.stack(colours), np.stack(heights))
        return lit(maps, self.rng), maps, torch.from_numpy(np.stack(families))
