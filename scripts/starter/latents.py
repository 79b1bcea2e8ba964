"""Encode the training pictures once, and draw training batches of latents and captions from them.

    lat_small  whole periodic 64 px pictures, wrapping encoder
    lat_crop   64 px crops of the 128 px pictures, zero padding
    lat_scene  rendered scenes, zero padding
Each (N, 4, 16, 16) float16. Under wrapping padding rolling a latent is the same as rolling its picture by four
pixels a step, so rolls are drawn afresh at every use.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from . import captions, data
from .common import DEVICE, autocast, load, log, set_circular
from .vae import build, to_tensor

# Pictures to encode of each set; more is better where encoding time allows.
COUNTS = {"small": 40000, "crop": 24000, "scene": 9000}
CHUNK = 64


@torch.no_grad()
def _encode(vae, path: Path, number: int, fetch) -> None:
    """Encode ``fetch(start, stop)``, 64 px pictures, in chunks into ``path`` unless it is complete."""
    if path.exists():
        return
    temporary = path.with_suffix(".part")
    out = np.lib.format.open_memmap(temporary, "w+", np.float16, (number, 4, 16, 16))
    for start in range(0, number, CHUNK):
        stop = min(start + CHUNK, number)
        with autocast():
            out[start:stop] = vae.encoder(to_tensor(fetch(start, stop))).float().cpu().numpy()
        if start // 8192 != stop // 8192:
            log(f"latents: {path.stem} {stop}/{number}")
    out.flush()
    temporary.replace(path)


def placement() -> tuple[np.ndarray, np.ndarray]:
    """Where the encoded pictures lie in the rendered ones: the top left corner (N, 2) of every crop, and by how many
    pixels (N, 2), 0…3, every small picture was rolled before it was encoded; the same at every call."""
    rng = np.random.default_rng(17)
    corners = rng.integers(0, 65, (COUNTS["crop"], 2))
    rolls = rng.integers(0, 4, (-(-COUNTS["small"] // CHUNK), 2))
    return corners, rolls.repeat(CHUNK, 0)[: COUNTS["small"]]


def prepare(cache: Path) -> None:
    """Encode every set with the finished autoencoder; sets already encoded are kept."""
    folder = cache / "data"
    vae = build().to(DEVICE).to(memory_format=torch.channels_last)
    vae.load_state_dict(load(cache / "vae.pt")["average"])
    small, large, scenes = (data.load_set(folder, name)[0] for name in ("small", "large", "scenes"))
    corners, rolls = placement()

    def crop(start: int, stop: int) -> np.ndarray:
        return np.stack([
            large[i % len(large), top : top + 64, left : left + 64]
            for i, (top, left) in zip(range(start, stop), corners[start:stop], strict=True)
        ])

    def rolled(start: int, stop: int) -> np.ndarray:
        return np.roll(small[start:stop], tuple(rolls[start]), (1, 2))

    vae.eval()
    set_circular(vae, False)
    _encode(vae, folder / "lat_crop.npy", COUNTS["crop"], crop)
    _encode(vae, folder / "lat_scene.npy", COUNTS["scene"], lambda a, b: scenes[a:b])
    set_circular(vae, True)
    _encode(vae, folder / "lat_small.npy", COUNTS["small"], rolled)


@dataclass
class Batch:
    """Latents (B, 4, h, w), their captions, and the padding that they were encoded with."""

    latents: torch.Tensor
    texts: list[str]
    circular: bool


class Latents:
    """Draws batches: whole periodic pictures for wrapping padding, crops and scenes for zero padding."""

    def __init__(self, folder: Path, seed: int, scale: float):
        self.rng = np.random.default_rng(seed)
        self.scale = scale
        self.sets = {name: np.load(folder / f"lat_{name}.npy", mmap_mode="r") for name in COUNTS}
        self.small_specs = data.load_set(folder, "small")[1]
        self.large_specs = data.load_set(folder, "large")[1]

    def draw(self, kind: str, batch: int) -> Batch:
        """A batch of "small" pictures (wrapping), or of "crop" ones with a sixth of scenes (zero padding)."""
        rng = self.rng
        scenes = batch // 6 if kind == "crop" else 0
        indices = rng.integers(len(self.sets[kind]), size=batch - scenes)
        latents = self.sets[kind][indices]
        specs = self.small_specs if kind == "small" else self.large_specs
        texts = [captions.caption(specs[i % len(specs)], rng) for i in indices]
        circular = kind == "small"
        if circular:
            latents = np.stack([np.roll(one, tuple(rng.integers(one.shape[-1], size=2)), (1, 2)) for one in latents])
        if scenes:
            chosen = rng.integers(len(self.sets["scene"]), size=scenes)
            latents = np.concatenate([latents, self.sets["scene"][chosen]])
            texts += [self._scene_text(int(i)) for i in chosen]
        texts = ["" if rng.random() < 0.1 else text for text in texts]
        tensor = torch.from_numpy(latents.astype(np.float32) * self.scale).to(DEVICE)
        return Batch(tensor, texts, circular)

    def _scene_text(self, index: int) -> str:
        kind, tile, colour = data.scene_of(index, len(self.large_specs))
        return captions.scene_caption(kind, None if tile is None else self.large_specs[tile], colour, self.rng)
