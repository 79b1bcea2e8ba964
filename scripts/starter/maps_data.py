"""Stage "maps", its data: physical maps and pictures of them, drawn ahead into files, and batches of both.

Files of ``CHUNK`` materials each in ``.cache/starter/maps``, arrays of `ITEM`: every material ``LIGHTS`` times, turned
otherwise and under another light each time. The sets "seen" (families that are trained on, other seeds) and "unseen"
(families never trained on) are for measuring alone.
"""

from __future__ import annotations

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
CHUNKS = 192
LIGHTS = 3
# Base colour, roughness and metallic are the five colours; heights are in pixels; families count in alphabetical order.
ITEM = np.dtype([("picture", "u1", (3, SIZE, SIZE)), ("colours", "u1", (5, SIZE, SIZE)),
                 ("height", "f2", (SIZE, SIZE)), ("family", "u1")])  # fmt: skip
_TOGETHER = 12  # pictures lit in one batch
_STEEP = 0.2  # share of the pictures whose relief is deeper than their family's: other surfaces' is
_DEEPER = (1.5, 3.0)  # times as deep
_CROSSED = 0.15  # share of the metals' pictures with the relief of any other material: metal comes in every shape
_STRANGE = 0.5  # share of the pictures without metal whose colour channels change places
_FIRST_SEED = {"train": 500_000_000, "seen": 600_000_000, "unseen": 700_000_000}
MEASURED = 32  # pictures of each family; of 8, one that is taken for metal moved the figure by up to a point


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


def varied(packed: dict[str, np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Materials of :func:`pack` as an array of ``ITEM``, ``LIGHTS`` of each: turned, mirrored, tinted and newly lit."""
    number = len(packed["family"])
    items = np.empty(number * LIGHTS, ITEM)
    known = np.array(sorted(physical.families(False)))
    metal = [physical.is_metal(family) for family in packed["family"]]
    items["family"] = np.tile(np.searchsorted(known, packed["family"]), LIGHTS)
    for index in range(len(items)):
        turn, mirrored = rng.integers(4), rng.random() < 0.5
        way = lambda value: np.rot90(value, turn, (-2, -1))[..., :: -1 if mirrored else 1]  # noqa: E731, B023
        colours = way(packed["colours"][index % number])
        if colours[4].max() == 0 and rng.random() < _STRANGE:
            colours = colours[[*rng.permutation(3), 3, 4]]
        shape = rng.integers(number) if metal[index % number] and rng.random() < _CROSSED else index % number
        deeper = np.exp(rng.uniform(*np.log(_DEEPER))) if rng.random() < _STEEP else 1.0
        items["colours"][index], items["height"][index] = colours, way(packed["height"][shape]) * deeper
    for start in range(0, len(items), _TOGETHER):
        part = items[start : start + _TOGETHER]
        part["picture"] = (lit(tensors(part["colours"], part["height"]), rng) * 255).round().byte().numpy()
    return items


def _write(path: Path, index: int) -> None:
    torch.set_num_threads(1)
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.save(file, varied(pack("train", index * CHUNK, (index + 1) * CHUNK), np.random.default_rng(index)))
    part.replace(path)


def prepare(folder: Path, workers: int) -> None:
    """Draw the training files that are missing; all of them take 32 minutes of one core."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [(folder / f"train_{index:03}.npy", index) for index in range(CHUNKS)]
    with get_context("spawn").Pool(workers) as pool:
        pool.starmap(_write, [job for job in files if not job[0].exists()], chunksize=1)


def measured(which: str) -> tuple[dict[str, Tensor], np.ndarray]:
    """The maps of a measured set as tensors, and their families."""
    number = MEASURED * len(physical.families(which == "unseen"))
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
    """Batches from the drawn files, rolled at random."""

    def __init__(self, folder: Path, rng: np.random.Generator):
        self.folder, self.rng = folder, rng
        self.files: dict[Path, np.ndarray] = {}

    def stream(self, batch: int) -> Iterator[tuple[Tensor, dict[str, Tensor], Tensor]]:
        """What :meth:`take` gives, without end, made in a process of its own."""
        self.batch = batch
        loader = DataLoader(self, None, num_workers=1, prefetch_factor=3, multiprocessing_context="spawn")
        return iter(loader)

    def __iter__(self) -> Iterator[tuple[Tensor, dict[str, Tensor], Tensor]]:
        torch.set_num_threads(1)
        self.look()
        while True:
            yield self.take(self.batch)

    def look(self) -> int:
        """Open the files that there are; returns their number."""
        for path in self.folder.glob("train_???.npy"):
            if path not in self.files:
                self.files[path] = np.load(path, mmap_mode="r")
        return len(self.files)

    def take(self, batch: int) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """Pictures (B, 3, S, S), their maps, and the numbers of their families."""
        paths, items = sorted(self.files), np.empty(batch, ITEM)
        for index in range(batch):
            file = self.files[paths[self.rng.integers(len(paths))]]
            item, roll = file[self.rng.integers(len(file))], self.rng.integers(0, SIZE, 2)
            for name in ("picture", "colours", "height"):
                items[name][index] = np.roll(item[name], roll, (-2, -1))
            items["family"][index] = item["family"]
        picture = torch.from_numpy(items["picture"].copy()).float() / 255
        return picture, tensors(items["colours"], items["height"]), torch.from_numpy(items["family"].astype(np.int64))
