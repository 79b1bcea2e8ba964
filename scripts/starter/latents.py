"""Encode the training pictures once, and draw training batches of latents and captions from them.

    lat_small  whole periodic 64 px pictures, wrapping encoder
    lat_whole  whole periodic 128 px pictures, wrapping encoder
    lat_crop   64 px crops of the 128 px pictures, zero padding
    lat_scene  128 px crops of the rendered scenes, zero padding
    lat_twin   the same crops of their grey twins
Each (N, 4, S / 4, S / 4) float16 for pictures of S pixels. Under wrapping padding rolling a latent is the same as
rolling its picture by four pixels a step, so rolls are drawn afresh at every use: mostly by whole fields of the
denoiser's grid, see :mod:`anchors`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from . import anchors, captions, data, scenes
from .common import DEVICE, autocast, load, log, set_circular
from .regularity import PATTERNS
from .surface import Spec
from .vae import build, to_tensor

# Pictures to encode of each set; more is better where encoding time allows. Small sets are gone through again.
COUNTS = {"small": 40000, "whole": 12000, "crop": 24000, "scene": 6000, "twin": 6000}
SIDES = {"small": 64, "whole": 128, "crop": 64, "scene": 128, "twin": 128}  # pixels
_SOURCES = {"small": "small.npy", "whole": "large.npy", "crop": "large.npy", "scene": "scenes_picture.npy",
            "twin": "scenes_twin.npy"}  # fmt: skip
PERIODIC = ("small", "whole")
_ORDERED = 2.0  # how much more often patterns are drawn that must be regular, which take longer to learn
_MODIFIED = 2.0  # how much more often pictures with a modifier are drawn
_ANCHORED = 0.75  # the share of pictures that begin where a field of the denoiser's grid does
_FIELD = anchors.GRID // 4  # a field's latents
CHUNK = 64


@torch.no_grad()
def _encode(vae, folder: Path, name: str, fetch) -> None:
    """Encode ``fetch(start, stop)``, pictures of a set, in chunks unless that was done after they were rendered."""
    path, number = folder / f"lat_{name}.npy", COUNTS[name]
    if path.exists() and path.stat().st_mtime >= (folder / _SOURCES[name]).stat().st_mtime:
        return
    temporary = path.with_suffix(".part")
    shape = (number, 4, SIDES[name] // 4, SIDES[name] // 4)
    out = np.lib.format.open_memmap(temporary, "w+", np.float16, shape)
    for start in range(0, number, CHUNK):
        stop = min(start + CHUNK, number)
        with autocast():
            out[start:stop] = vae.encoder(to_tensor(fetch(start, stop))).float().cpu().numpy()
        if start // 8192 != stop // 8192:
            log(f"latents: {path.stem} {stop}/{number}")
    out.flush()
    temporary.replace(path)


def placement() -> dict[str, np.ndarray]:
    """Return where the encoded pictures lie in the rendered ones: the top left corner (N, 2) of every "crop", mostly on
    the denoiser's grid, and "scene"; the same at every call."""
    corners = {}
    for kind, rendered in (("crop", 128), ("scene", scenes.SIZE)):
        rng = np.random.default_rng([17, len(corners)])
        corners[kind] = rng.integers(0, rendered - SIDES[kind] + 1, (COUNTS[kind], 2))
    rng = np.random.default_rng(18)
    anchored = rng.random(COUNTS["crop"]) < _ANCHORED
    corners["crop"][anchored] -= corners["crop"][anchored] % anchors.GRID
    return corners


def crops(pictures: np.ndarray, corners: np.ndarray, numbers: np.ndarray, side: int) -> np.ndarray:
    """Return the crops of these numbers, (B, side, side, …): crop i lies in picture i modulo how many there are."""
    return np.stack([
        pictures[number % len(pictures), top : top + side, left : left + side]
        for number, (top, left) in zip(numbers, corners[numbers], strict=True)
    ])


def prepare(cache: Path) -> None:
    """Encode every set with the finished autoencoder; those already encoded, and not rendered since, are kept."""
    folder = cache / "data"
    vae = build().to(DEVICE).to(memory_format=torch.channels_last)
    vae.load_state_dict(load(cache / "vae.pt")["average"])
    small, large = (data.load_set(folder, name)[0] for name in ("small", "large"))
    rendered = scenes.load(folder, "scenes")
    corners = placement()

    def fetch(name: str, pictures: np.ndarray, kind: str):
        return lambda a, b: crops(pictures, corners[kind], np.arange(a, b), SIDES[name])

    def whole(pictures: np.ndarray):
        return lambda a, b: pictures[np.arange(a, b) % len(pictures)]

    vae.eval()
    set_circular(vae, False)
    _encode(vae, folder, "crop", fetch("crop", large, "crop"))
    _encode(vae, folder, "scene", fetch("scene", rendered["picture"], "scene"))
    _encode(vae, folder, "twin", fetch("twin", rendered["twin"], "scene"))
    set_circular(vae, True)
    _encode(vae, folder, "small", whole(small))
    _encode(vae, folder, "whole", whole(large))


@dataclass
class Batch:
    """Latents (B, 4, h, w), their captions, the padding that they were encoded with, which (B,) of them show a regular
    pattern that lies off the denoiser's grid, and scenes' grey twins."""

    latents: torch.Tensor
    texts: list[str]
    circular: bool
    loose: torch.Tensor
    twins: torch.Tensor | None = None


class Latents:
    """Draws batches: whole periodic pictures for wrapping padding, crops and scenes for zero padding."""

    def __init__(self, folder: Path, seed: int, scale: float):
        self.rng = np.random.default_rng(seed)
        self.scale = scale
        self.sets = {name: np.load(folder / f"lat_{name}.npy", mmap_mode="r") for name in COUNTS}
        small, large = (data.load_set(folder, name)[1] for name in ("small", "large"))
        count = len(scenes.ready(folder, "scenes"))
        self.corners = placement()
        self.described = {"small": small, "whole": large, "crop": large,
                          "scene": [scenes.scene_of("scenes", index) for index in range(count)]}  # fmt: skip
        self.chances = {kind: _chances(kind, self.described[kind], len(self.sets[kind])) for kind in self.described}

    def draw(self, kind: str, batch: int) -> Batch:
        """Return a batch of "small" or "whole" pictures (wrapping), of "crop" or of "scene" ones (zero padding)."""
        indices, moves = self.choose(kind, batch)
        return self.batch(kind, indices, moves)

    def choose(self, kind: str, batch: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers of a batch's latents, and by how many of their pixels (B, 2) to roll each: 0 but for
        periodic ones."""
        indices = self.rng.choice(len(self.sets[kind]), batch, p=self.chances[kind])
        moves = self.rng.integers(self.sets[kind].shape[-1] if kind in PERIODIC else 1, size=(batch, 2))
        anchored = self.rng.random(batch) < _ANCHORED
        moves[anchored] -= moves[anchored] % _FIELD
        return indices, moves

    def batch(self, kind: str, indices: np.ndarray, moves: np.ndarray) -> Batch:
        """The batch of what was chosen."""
        latents = self.sets[kind][indices]
        if kind in PERIODIC:
            latents = np.stack([np.roll(one, tuple(move), (1, 2)) for one, move in zip(latents, moves, strict=True)])
        described, words = self.described[kind], scenes.caption if kind == "scene" else captions.caption
        texts = [
            "" if self.rng.random() < 0.1 else words(described[i % len(described)], self.rng) for i in indices]
        twins = self._tensor(self.sets["twin"][indices]) if kind == "scene" else None
        loose = torch.from_numpy(self._loose(kind, indices, moves)).to(DEVICE)
        return Batch(self._tensor(latents), texts, kind in PERIODIC, loose, twins)

    def _loose(self, kind: str, indices: np.ndarray, moves: np.ndarray) -> np.ndarray:
        if kind == "scene":
            return np.zeros(len(indices), bool)
        places = moves % _FIELD if kind in PERIODIC else self.corners[kind][indices] % anchors.GRID
        described = self.described[kind]
        return places.any(1) & np.array([described[i % len(described)].family in PATTERNS for i in indices])

    def _tensor(self, latents: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(latents.astype(np.float32) * self.scale).to(DEVICE)


def _chances(kind: str, described: list[Spec] | list[scenes.Scene], count: int) -> np.ndarray:
    """Return with what chance to draw each of ``count`` latents, of pictures that are described in turn.

    Periodic pictures in which a pattern has another size than its words say are left out.
    """
    specs = [getattr(shown, "spec", shown) for shown in described]
    ordered = np.array([spec is not None and spec.family in PATTERNS for spec in specs])
    modified = np.array([spec is not None and bool(spec.modifier) for spec in specs])
    weights = np.where(ordered, _ORDERED, 1.0) * np.where(modified, _MODIFIED, 1.0)
    if kind in PERIODIC:
        weights *= [anchors.fits(spec, SIDES[kind]) for spec in specs]
    weights = np.resize(weights, count)
    return weights / weights.sum()
