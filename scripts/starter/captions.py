"""Captions as artists write prompts: synonyms, size, wear and contrast words, shuffled order, stock phrases.

``caption(spec, rng)`` is what the model is trained on; ``canonical(spec)`` is the plain form used for measuring.
"""

from __future__ import annotations

import numpy as np

from .palette import SYNONYMS
from .surface import Spec

NOUNS: dict[str, tuple[str, ...]] = {
    "brick": ("brick wall", "bricks", "brickwork", "brick", "brick facade"),
    "stone wall": ("stone wall", "stone blocks", "castle wall", "masonry", "rock wall"),
    "cobblestone": ("cobblestone", "cobblestones", "cobbles", "cobbled street", "stone pavement"),
    "gravel": ("gravel", "pebbles", "loose stones", "shingle", "crushed stone"),
    "tiles": ("tiles", "ceramic tiles", "bathroom tiles", "square tiles", "tile"),
    "mosaic": ("mosaic", "mosaic tiles", "roman mosaic", "tesserae"),
    "hexagons": ("hexagons", "hexagonal tiles", "honeycomb", "hexagon tiles"),
    "planks": ("planks", "wooden planks", "floorboards", "wood floor", "boards", "timber planks"),
    "wood": ("wood", "wood grain", "timber", "wooden surface", "oak"),
    "parquet": ("parquet", "parquet floor", "basket weave wood", "parquetry"),
    "marble": ("marble", "polished marble", "veined marble", "marble slab"),
    "terrazzo": ("terrazzo", "terrazzo floor", "stone chips"),
    "plaster": ("plaster", "stucco", "plaster wall", "rough wall", "painted wall"),
    "concrete": ("concrete", "cement", "concrete wall", "bare concrete"),
    "rust": ("rusty metal", "rust", "rusted metal", "corroded metal", "rusty sheet"),
    "metal": ("metal", "brushed metal", "steel", "brushed steel", "sheet metal", "aluminium"),
    "tread plate": ("tread plate", "diamond plate", "checker plate", "metal plate"),
    "leather": ("leather", "leather hide", "grained leather", "leather upholstery"),
    "grass": ("grass", "lawn", "grassland", "meadow", "turf"),
    "sand": ("sand", "sand dunes", "desert sand", "beach sand", "rippled sand"),
    "snow": ("snow", "fresh snow", "snowy ground", "snow cover"),
    "water": ("water", "pool water", "water surface", "water caustics", "sea"),
    "lava": ("lava", "magma", "molten rock", "volcanic lava"),
    "fabric": ("woven fabric", "fabric", "cloth", "canvas", "linen", "textile"),
    "knit": ("knitted fabric", "knitted wool", "knit", "wool sweater", "knitting"),
    "plaid": ("plaid", "tartan", "plaid fabric", "tartan cloth"),
    "checker": ("checkerboard", "checkered pattern", "chessboard", "checker"),
    "stripes": ("stripes", "striped pattern", "striped"),
    "dots": ("polka dots", "dots", "dotted pattern", "spots"),
    "camouflage": ("camouflage", "camo", "camouflage pattern", "military camouflage"),
    "scales": ("scales", "fish scales", "dragon scales", "reptile skin", "snake skin"),
}
SIZE_WORDS = {
    "small": ("small", "fine", "tiny", "small scale"),
    "medium": ("medium", "medium size"),
    "large": ("large", "big", "coarse", "huge", "wide"),
}
WEAR_WORDS = (
    ("clean", "new", "pristine", "neat"),
    (),
    ("worn", "old", "dirty", "weathered", "aged", "stained", "damaged", "cracked", "grungy"),
)
CONTRAST_WORDS = (("soft", "subtle", "low contrast", "smooth"), (), ("high contrast", "bold", "strong", "rough"))
STOCK = (
    "seamless texture", "texture", "tileable", "seamless", "highly detailed", "4k", "photo", "material", "pbr",
    "close up", "realistic", "high quality", "surface", "background", "pattern", "game asset", "photorealistic",
)  # fmt: skip
SCENE_WORDS = {
    "sphere": ("sphere", "ball", "round object"),
    "box": ("cube", "box", "block"),
    "plane": ("ground", "floor", "landscape"),
}
RENDER_WORDS = ("3d render", "render", "scene", "studio lighting", "still life", "rendered object")
PLAIN_WORDS = ("plain", "clay", "smooth", "untextured", "simple")

_METAL_ONLY = {"gold": ("gold", "golden"), "copper": ("copper", "bronze"), "grey": ("silver", "steel", "grey", "gray")}


def _pick(rng: np.random.Generator, words: tuple[str, ...]) -> str:
    return words[rng.integers(len(words))]


def colour_word(name: str, family: str, rng: np.random.Generator) -> str:
    """A word for a colour: the plain name half of the time, else a synonym."""
    if family in ("metal", "tread plate") and name in _METAL_ONLY and rng.random() < 0.6:
        return _pick(rng, _METAL_ONLY[name])
    return name if rng.random() < 0.5 else _pick(rng, SYNONYMS[name])


def _colour_part(spec: Spec, noun: str, rng: np.random.Generator) -> tuple[str, str]:
    """(colour words, noun) of a spec, with both colours for the two-coloured families."""
    first, second = (colour_word(name, spec.family, rng) for name in (spec.colour, spec.second))
    if spec.family == "dots":
        form = rng.integers(3)
        if form == 0:
            return "", f"{second} {noun} on {first}"
        return ("", f"{first} background with {second} {noun}") if form == 1 else (f"{first} with {second}", noun)
    if spec.family in ("plaid", "checker", "stripes"):
        return f"{first} and {second}", noun
    if spec.family in ("mosaic", "terrazzo"):
        return (f"{first} and {second}", noun) if rng.random() < 0.6 else (first, noun)
    return first, noun


def _adjectives(spec: Spec, rng: np.random.Generator, chance: float) -> list[str]:
    words = []
    for options in (SIZE_WORDS[spec.size], WEAR_WORDS[spec.wear], CONTRAST_WORDS[spec.contrast]):
        if options and rng.random() < chance * (0.3 if options is SIZE_WORDS["medium"] else 1.0):
            words.append(_pick(rng, options))
    rng.shuffle(words)
    return words


def caption(spec: Spec, rng: np.random.Generator) -> str:
    """A random caption of a material picture."""
    noun = _pick(rng, NOUNS[spec.family])
    if spec.family == "stripes" and rng.random() < 0.85:
        noun = f"{spec.direction} {noun}"
    colour, noun = _colour_part(spec, noun, rng)
    if rng.random() < 0.08:
        colour = ""
    words = _adjectives(spec, rng, 0.45)
    if rng.random() < 0.6:
        parts = [" ".join([*words, colour, noun])]
    else:
        tags = [" ".join([colour, noun]), *words]
        if rng.random() < 0.3:
            rng.shuffle(tags)
        parts = list(tags)
    extra = [_pick(rng, STOCK) for _ in range(rng.integers(0, 4))]
    parts = extra + parts if rng.random() < 0.15 else parts + extra
    text = ", ".join(" ".join(part.split()) for part in parts if part.strip())
    return f"a photo of {text}" if rng.random() < 0.06 else text


def canonical(spec: Spec) -> str:
    """The plain caption for measuring: size, wear, colour, noun, "seamless texture"."""
    colour = spec.colour
    noun = NOUNS[spec.family][0]
    if spec.family == "dots":
        colour, noun = "", f"{spec.second} {noun} on {spec.colour}"
    elif spec.family in ("plaid", "checker", "stripes", "mosaic", "terrazzo"):
        colour = f"{spec.colour} and {spec.second}"
    if spec.family == "stripes":
        noun = f"{spec.direction} {noun}"
    size = "" if spec.size == "medium" else spec.size
    wear = ("clean", "", "worn")[spec.wear]
    return f"{' '.join(f'{size} {wear} {colour} {noun}'.split())}, seamless texture"


def scene_caption(kind: str, spec: Spec | None, colour: str, rng: np.random.Generator) -> str:
    """A caption of a scene: an object of a material (``spec``) or of a plain colour."""
    thing = _pick(rng, SCENE_WORDS[kind])
    if spec is None:
        return f"{_pick(rng, PLAIN_WORDS)} {colour_word(colour, '', rng)} {thing}, {_pick(rng, RENDER_WORDS)}"
    text = caption(spec, rng)
    chance = rng.random()
    if chance < 0.4:
        return text
    return f"{text}, {thing}" if chance < 0.6 else f"{thing}, {text}, {_pick(rng, RENDER_WORDS)}"


def phrases() -> dict[str, list[list[str]]]:
    """What the panel's menu offers, by kind: lists of phrases with the same meaning, the plainest first."""
    kinds = {"material": NOUNS.values(), "colour": SYNONYMS.values(), "size": SIZE_WORDS.values(), "wear": WEAR_WORDS,
             "contrast": CONTRAST_WORDS}  # fmt: skip
    return {kind: [list(words) for words in groups if words] for kind, groups in kinds.items()}


def vocabulary() -> list[str]:
    """Every word that a caption may contain, sorted, for the tokenizer."""
    sources: list[str] = [*STOCK, *RENDER_WORDS, *PLAIN_WORDS]
    for group in (NOUNS, SYNONYMS, SIZE_WORDS, SCENE_WORDS, _METAL_ONLY):
        for words in group.values():
            sources.extend(words)
    for words in (*WEAR_WORDS, *CONTRAST_WORDS):
        sources.extend(words)
    sources.extend(("a photo of", "on", "and", "with", "background", "horizontal", "vertical", "diagonal"))
    return sorted({word for source in sources for word in source.split()})
