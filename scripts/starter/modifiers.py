"""What happens to materials: moss, rain, dust, snow, paint, wear, cracks, polish, and a second colour.

Each modifier takes a drawn surface and changes its colours, heights and gloss so that what it adds follows the heights:
moss, dust and water collect in hollows, paint chips and edges wear where a surface stands out. All wrap around.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from .fields import blur, count, gradient, grid, lattice, smoothstep
from .surface import TWO_COLOURS, Kit, Spec, Surface, mix, paint

_BUILT = ("brick", "stone wall", "cobblestone", "gravel", "tiles", "hexagons", "planks")
_SOLID = (*_BUILT, "wood", "plaster", "concrete")
_SMOOTH = ("marble", "terrazzo", "parquet", "mosaic")
_PRINTED = ("checker", "stripes", "dots")
_METAL = ("metal", "tread plate")
# The families for which each modifier makes sense.
FAMILIES: dict[str, tuple[str, ...]] = {
    "mossy": (*_SOLID, "scales", "sand", "tread plate"),
    "wet": (*_SOLID, *_SMOOTH, *_METAL, "sand", "leather", "rust"),
    "dusty": (*_SOLID, *_SMOOTH, *_PRINTED, *_METAL, "leather", "scales"),
    "snowy": (*_SOLID, *_METAL, "parquet", "grass", "sand", "rust"),
    "painted": (*_METAL, "brick", "stone wall", "planks", "wood", "plaster", "concrete", "parquet"),
    "worn": (*_PRINTED, *_METAL, "brick", "stone wall", "tiles", "hexagons", "planks", "wood", "parquet", "mosaic",
             "leather", "fabric", "plaid"),
    "cracked": (*_SMOOTH, *_PRINTED, "brick", "stone wall", "tiles", "hexagons", "planks", "wood", "plaster",
                "concrete", "leather", "sand"),
    "polished": (*_SMOOTH, *_METAL, "cobblestone", "tiles", "hexagons", "planks", "wood", "concrete", "leather",
                 "checker"),
    TWO_COLOURS: (*_BUILT, "parquet", "scales", "knit"),
}  # fmt: skip


def _open(surface: Surface) -> np.ndarray:
    """Return how far each place stands out, 0 in hollows to 1 on top; a half everywhere on what is flat."""
    low, high = np.percentile(surface.height, (4, 96))
    if surface.relief < 0.8 or high - low < 0.05:
        return np.full(surface.height.shape, 0.5, np.float32)
    return np.clip((surface.height - low) / (high - low), 0.0, 1.0).astype(np.float32)


def _patch(k: Kit) -> float:
    """Return the size of what lies in patches, in pixels of the finished picture."""
    return float(np.clip(0.45 * k.px / k.scale, 9.0, 18.0))


def _cover(where: np.ndarray, share: float, edge: float) -> np.ndarray:
    """Return a 0…1 mask over the ``share`` of the surface where ``where`` is highest, ``edge`` deviations soft."""
    level = np.quantile(where, 1.0 - share)
    width = edge * float(where.std())
    return smoothstep(level - width, level + width, where)


def _raised(surface: Surface, albedo: np.ndarray, pixels: np.ndarray, gloss: float,
            glow: np.ndarray | None = None) -> Surface:
    """Return the surface with new colours, and heights in pixels of the finished picture."""
    low, span = float(pixels.min()), max(float(np.ptp(pixels)), 1e-3)
    if glow is not None and surface.glow is not None:
        glow = glow + surface.glow
    return Surface(np.clip(albedo, 0.0, 1.0).astype(np.float32), ((pixels - low) / span).astype(np.float32), span,
                   gloss, surface.glow if glow is None else glow)  # fmt: skip


def _mirrored(k: Kit, pixels: np.ndarray) -> np.ndarray:
    """Return the windows that a smooth coat over these heights mirrors, 0…1: slanted bands, bent by the slopes."""
    x, y = grid(k.size)
    dx, dy = gradient(blur(pixels, 0.8 * k.scale) * k.scale)
    bands = count(k.size, 46.0 * k.scale)
    phase = bands * (x + y) / k.size + k.rng.random() + 0.45 * (dx + dy) + 0.06 * k.noise(30.0, 3.6)
    place = phase - np.floor(phase)
    wide = smoothstep(0.04, 0.16, place) * (1.0 - smoothstep(0.32, 0.42, place))
    narrow = smoothstep(0.47, 0.53, place) * (1.0 - smoothstep(0.55, 0.62, place))
    return np.maximum(wide, 0.7 * narrow)


def mossy(k: Kit, surface: Surface) -> Surface:
    """Add cushions of moss in joints and hollows and from there over the rest."""
    where = 1.1 * (1.0 - _open(surface)) + 0.55 * k.noise(_patch(k), 2.2) + 0.12 * k.noise(3.0, 1.4)
    cover = _cover(where, k.rng.uniform(0.38, 0.58), 0.16)
    tuft = k.noise(2.6, 1.8)
    young = np.clip(0.5 + 0.35 * k.noise(8.0, 2.0) + 0.28 * tuft, 0.0, 1.0)
    dark, light = np.array([0.13, 0.22, 0.05], np.float32), np.array([0.47, 0.56, 0.13], np.float32)
    moss = mix(np.broadcast_to(dark, surface.albedo.shape), light, young)
    damp = _cover(where, 0.75, 0.5)[..., None]
    albedo = mix(surface.albedo * (1.0 - 0.25 * damp), moss, cover)
    pixels = surface.height * surface.relief
    pixels = pixels + cover * (0.9 + 0.55 * tuft + 0.35 * (blur(pixels, 2.0 * k.scale) - pixels))
    return _raised(surface, albedo, pixels, surface.gloss * 0.6)


def wet(k: Kit, surface: Surface) -> Surface:
    """Add rain: darker and richer colours, puddles that mirror the sky in hollows, drops on what stands out."""
    out = _open(surface)
    pixels = surface.height * surface.relief
    where = 0.9 * (1.0 - out) + 0.5 * k.noise(_patch(k) * 1.3, 3.2)
    pool = _cover(where, k.rng.uniform(0.30, 0.42), 0.07)
    level = float(np.quantile(pixels, 0.25)) + (0.4 if out.std() > 0.02 else 0.0)
    drop, rim = (part * (1.0 - pool) for part in _drops(k))
    pixels = pixels * (1.0 - pool) + pool * level + 1.2 * drop
    grey = surface.albedo.mean(-1, keepdims=True)
    soaked = np.clip(grey + 1.3 * (surface.albedo - grey), 0.0, 1.0) ** 1.3 * (0.88 - 0.20 * float(grey.mean()))
    albedo = soaked * ((1.0 - 0.40 * pool) * (1.0 - 0.45 * rim))[..., None]
    sky = np.clip(0.5 + 0.32 * k.noise(24.0, 3.0) + 0.05 * k.noise(5.0, 2.4, 3.0), 0.0, 1.0)
    shore = np.clip(pool * (1.0 - pool) * 4.0, 0.0, 1.0)
    shine = pool * (0.10 + 0.55 * sky**2) + 0.30 * shore + 0.16 * drop * (1.0 - rim)
    glow = shine[..., None] * np.array([0.62, 0.71, 0.80], np.float32)
    return _raised(surface, albedo, pixels, 1.1, glow)


def _drops(k: Kit) -> tuple[np.ndarray, np.ndarray]:
    """Return round drops of several sizes: their height 0…1, and their dark upper rims."""
    x, y = grid(k.size)
    n = count(k.size, 7.5 * k.scale)
    near, _, ident, _ = lattice(k.rng, x, y, k.size, n, n, 0.75)
    radius = k.rng.uniform(-0.15, 0.36, n * n).astype(np.float32)[ident]
    inside = np.clip(1.0 - (near / np.maximum(radius, 1e-3)) ** 2, 0.0, 1.0) * (radius > 0.08)
    return np.sqrt(inside), smoothstep(0.0, 0.2, inside) * (1.0 - smoothstep(0.3, 0.8, inside))


def dusty(k: Kit, surface: Surface) -> Surface:
    """Add a pale, dull film, thick in hollows, with streaks where something wiped it off."""
    tone = np.array([0.72, 0.67, 0.59], np.float32) * k.rng.normal(1.0, 0.04)
    film = 0.74 + 0.12 * k.noise(_patch(k), 2.2) + 0.35 * (0.5 - _open(surface))
    angle = k.rng.uniform(-0.9, 0.9)
    wiped = _cover(k.noise(6.5, 2.6, 5.0, angle), k.rng.uniform(0.18, 0.28), 0.10)
    film = np.clip(film, 0.35, 0.95) * (1.0 - 0.92 * wiped)
    fluff = smoothstep(1.9, 2.6, k.noise(1.8, 1.5, 3.0, k.rng.uniform(0.0, np.pi))) * (1.0 - wiped)
    dust = paint(tone, 1.0 + 0.05 * k.noise(2.0, 1.2) + 0.04 * k.noise(9.0, 2.0))
    albedo = mix(surface.albedo, dust, film)
    albedo = mix(albedo, np.array([0.86, 0.83, 0.78], np.float32), 0.7 * fluff)
    pixels = surface.height * surface.relief
    soft = blur(pixels, 1.0 * k.scale)
    pixels = pixels + 0.6 * film * (soft - pixels) + 0.45 * film + 0.3 * fluff
    return _raised(surface, albedo, pixels, surface.gloss * 0.15)


def snowy(k: Kit, surface: Surface) -> Surface:
    """Add patches of snow that fill hollows first and lie in soft drifts over the rest."""
    drift = k.noise(_patch(k) * 1.2, 3.0)
    where = 0.9 * (1.0 - _open(surface)) + 0.75 * drift + 0.05 * k.noise(3.0, 1.8)
    cover = _cover(where, k.rng.uniform(0.42, 0.60), 0.06)
    pixels = surface.height * surface.relief
    deep = np.clip(blur(cover, 2.0 * k.scale) * 2.0 - 0.55, 0.0, 1.0)
    bed = np.maximum(blur(pixels, 2.5 * k.scale), float(np.quantile(pixels, 0.6)))
    snow = bed + 1.2 + 2.2 * deep + 0.9 * drift * deep + 0.06 * k.noise(2.0, 1.4)
    pixels = pixels * (1.0 - cover) + snow * cover
    cold, white = np.array([0.76, 0.85, 0.97], np.float32), np.array([0.98, 0.98, 0.99], np.float32)
    colour = mix(np.broadcast_to(cold, surface.albedo.shape), white, deep)
    albedo = mix(surface.albedo * 0.82, colour, cover)
    sparkle = smoothstep(2.3, 3.0, k.noise(1.6, 1.0)) * cover
    return _raised(surface, albedo, pixels, surface.gloss * 0.5, sparkle[..., None] * np.full(3, 0.3, np.float32))


def painted(k: Kit, surface: Surface) -> Surface:
    """Add a thick coat of paint, brushed on, that has chipped off where the surface stands out."""
    where = 0.55 * _open(surface) + 0.5 * k.noise(_patch(k) * 0.8, 1.9) + 0.14 * k.noise(3.0, 1.3)
    bare = _cover(where, k.rng.uniform(0.14, 0.26), 0.035)
    near = np.clip(blur(bare, 0.9 * k.scale) * 2.2, 0.0, 1.0) * (1.0 - bare)
    angle = k.rng.choice([0.0, np.pi / 2]) + k.rng.uniform(-0.15, 0.15)
    brush = k.noise(1.9, 1.5, 14.0, angle)
    out = _open(surface)
    coat = paint(k.base, 0.92 + 0.10 * out + 0.055 * brush + 0.03 * k.noise(12.0, 2.4))
    coat = mix(coat, np.clip(k.base * 0.7 + 0.30, 0.0, 1.0), 0.75 * near)
    under = surface.albedo * (1.0 - 0.35 * np.clip(blur(1.0 - bare, 0.8 * k.scale) * 1.6, 0.0, 1.0))[..., None]
    pixels = surface.height * surface.relief
    smooth = blur(pixels, 0.7 * k.scale) + 0.10 * brush + 1.1
    pixels = smooth * (1.0 - bare) + (pixels - 0.2) * bare
    return _raised(surface, mix(coat, under, bare), pixels, 0.42)


def worn(k: Kit, surface: Surface) -> Surface:
    """Rub edges and high places pale, break pieces out, scratch across."""
    out = _open(surface)
    pixels = surface.height * surface.relief
    rubbed = _cover(0.35 * out + 0.5 * k.noise(_patch(k) * 1.2, 2.0) + 0.1 * k.noise(2.6, 1.2), 0.45, 0.35)
    grey = surface.albedo.mean(-1, keepdims=True)
    pale = np.clip(0.40 * surface.albedo + 0.60 * (0.30 * grey + 0.56), 0.0, 1.0)
    albedo = mix(surface.albedo, pale, 0.85 * rubbed)
    edge = smoothstep(0.05, 0.5, np.hypot(*gradient(blur(pixels, 0.8 * k.scale) * k.scale)))
    chip = _cover(0.55 * edge + 0.75 * k.noise(7.0, 1.9) + 0.2 * k.noise(2.4, 1.3), 0.15, 0.05)
    core = 0.35 * surface.albedo + 0.65 * (0.35 * grey + (0.13 if float(grey.mean()) > 0.3 else 0.55))
    albedo = mix(albedo, core * (1.0 + 0.12 * k.noise(2.2, 1.4))[..., None], chip)
    scratch = np.zeros_like(out)
    for _ in range(3):
        line = _cover(k.noise(1.6, 1.6, 24.0, k.rng.uniform(0.0, np.pi)), 0.028, 0.15)
        scratch = np.maximum(scratch, line)
    light = 0.22 if float(grey.mean()) < 0.6 else -0.32
    albedo = albedo + (light * scratch * (1.0 - chip))[..., None]
    pixels = pixels - 1.6 * chip - 0.4 * scratch + 0.12 * k.noise(2.4, 1.4) * rubbed
    return _raised(surface, albedo, pixels, surface.gloss * 0.3)


def cracked(k: Kit, surface: Surface) -> Surface:
    """Cut a net of cracks through everything, hair cracks between them, and move the pieces apart."""
    x, y = grid(k.size)
    bend = 1.5 * k.scale
    x, y = x + bend * k.noise(9.0, 1.8), y + bend * k.noise(9.0, 1.8)
    n = count(k.size, k.rng.uniform(19.0, 27.0) * k.scale, least=2)
    _, _, ident, border = lattice(k.rng, x, y, k.size, n, n, 0.95)
    away = border * (k.size / n / k.scale)  # from the crack, in pixels of the finished picture
    width = k.rng.uniform(0.75, 1.10) * np.clip(1.0 + 0.40 * k.noise(8.0, 2.0), 0.3, 2.0)
    crack = 1.0 - smoothstep(0.7 * width, 1.3 * width + 0.15, away)
    cut = np.maximum(crack, 0.8 * _hair_cracks(k, x, y))
    rim = (1.0 - smoothstep(width, width + 1.6, away)) * (1.0 - cut)
    albedo, pixels = _moved(k, surface, ident, n * n)
    tone = np.exp(k.rng.normal(0.0, 0.10, n * n)).astype(np.float32)[ident]
    albedo = mix(albedo * tone[..., None], albedo * 0.55 + 0.40, 0.40 * rim)
    albedo = mix(albedo, np.array([0.06, 0.05, 0.045], np.float32), 0.95 * cut)
    lift = k.rng.uniform(0.0, 1.2, n * n).astype(np.float32)[ident]
    return _raised(surface, albedo, pixels + lift - 2.6 * cut, surface.gloss * 0.7)


def _moved(k: Kit, surface: Surface, ident: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return colours and heights in pixels, each piece moved by up to a pixel and a half of the finished picture."""
    row, column = np.indices(ident.shape)
    reach = int(1.5 * k.scale)
    down, across = k.rng.integers(-reach, reach + 1, (2, number))
    row, column = (row + down[ident]) % k.size, (column + across[ident]) % k.size
    return surface.albedo[row, column], surface.height[row, column] * surface.relief


def _hair_cracks(k: Kit, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return hair cracks, 0…1, in some of the places."""
    n = count(k.size, 9.0 * k.scale, least=3)
    _, _, _, border = lattice(k.rng, x, y, k.size, n, n, 0.95)
    there = smoothstep(0.1, 0.9, k.noise(14.0, 2.4))
    return (1.0 - smoothstep(0.15, 0.75, border * (k.size / n / k.scale))) * there


def polished(k: Kit, surface: Surface) -> Surface:
    """Grind smooth under a clear coat: little grain, deep colours, and windows mirrored in it."""
    pixels = 0.5 * blur(surface.height * surface.relief, 1.0 * k.scale)
    albedo = np.stack([blur(surface.albedo[..., i], 0.4 * k.scale) for i in range(3)], -1)
    grey = albedo.mean(-1, keepdims=True)
    albedo = np.clip(grey + 1.25 * (albedo - grey), 0.0, 1.0) * 0.82
    shine = _mirrored(k, pixels) * (0.30 + 0.70 * smoothstep(0.1, 0.5, _open(surface)))
    glow = 0.40 * shine[..., None] * np.array([0.97, 0.98, 1.0], np.float32)
    return _raised(surface, albedo, pixels, 1.1, glow)


def _as_drawn(k: Kit, surface: Surface) -> Surface:
    """Change nothing: the families draw two colours themselves, piece by piece."""
    return surface


MODIFIERS: dict[str, Callable[[Kit, Surface], Surface]] = {
    "mossy": mossy,
    "wet": wet,
    "dusty": dusty,
    "snowy": snowy,
    "painted": painted,
    "worn": worn,
    "cracked": cracked,
    "polished": polished,
    TWO_COLOURS: _as_drawn,
}


def fitting(family: str) -> tuple[str, ...]:
    """Return the modifiers that suit a family."""
    return tuple(name for name, families in FAMILIES.items() if family in families)


def draw(family: Callable[[Kit], Surface], spec: Spec, size: int, scale: float) -> Surface:
    """Draw a spec's surface by its family's function and change it as its modifier says.

    Underneath, the surface is that of the same spec without a modifier; paint hides one of the spec's second colour.
    """
    below = replace(spec, colour=spec.second) if spec.modifier == "painted" else spec
    surface = family(Kit(below, size, scale))
    if not spec.modifier:
        return surface
    kit = Kit(spec, size, scale)
    kit.rng = np.random.default_rng([spec.seed, 1])
    return MODIFIERS[spec.modifier](kit, surface)
