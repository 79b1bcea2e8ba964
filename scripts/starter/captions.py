"""Captions as artists write prompts: synonyms, words for size, wear, contrast and modifiers, shuffled, stock phrases.

``caption(spec, rng)`` is what the model is trained on; ``canonical(spec)`` is the plain form used for measuring.
"""

from __future__ import annotations

import numpy as np

from .palette import SYNONYMS
from .surface import TWO_COLOURS, Spec

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
    "marble": ("marble", "veined marble", "marble slab"),
    "terrazzo": ("terrazzo", "terrazzo floor", "stone chips"),
    "plaster": ("plaster", "stucco", "plaster wall", "rough wall"),
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
    ("old", "dirty", "weathered", "aged", "stained", "grungy"),
)
# For each modifier: words before the material, and phrases after it.
MODIFIER_WORDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "mossy": (("mossy", "moss covered", "overgrown"), ("covered with moss", "with moss", "overgrown with moss")),
    "wet": (("wet", "rainy", "damp", "soaked", "rain soaked"), ("after rain", "in the rain", "with puddles")),
    "dusty": (("dusty", "dust covered", "powdery"), ("covered with dust", "with dust")),
    "snowy": (("snowy", "snow covered", "wintry"), ("covered with snow", "under snow", "in winter")),
    "painted": (("painted", "paint covered", "coated"), ("with peeling paint", "with chipped paint", "with paint")),
    "worn": (("worn", "scratched", "scuffed", "battered", "damaged"), ("with scratches", "with worn edges")),
    "cracked": (("cracked", "fractured", "broken", "crackled"), ("with cracks", "full of cracks")),
    "polished": (("polished", "glossy", "shiny", "lacquered"), ("with reflections", "with a polished finish")),
    TWO_COLOURS: (("two tone", "two coloured", "two colored", "bicolor"), ("in two colours", "in two colors")),
}
CONTRAST_WORDS = (("soft", "subtle", "low contrast", "smooth"), (), ("high contrast", "bold", "strong", "rough"))
STOCK = (
    "seamless texture", "texture", "tileable", "seamless", "highly detailed", "4k", "photo", "material", "pbr",
    "close up", "realistic", "high quality", "surface", "background", "pattern", "game asset", "photorealistic",
)  # fmt: skip
SCENE_WORDS = {
    "sphere": ("sphere", "ball", "round object"),
    "box": ("cube", "box", "block"),
    "cylinder": ("cylinder", "column", "pillar"),
    "torus": ("torus", "ring", "doughnut"),
    "monkey": ("monkey head", "monkey", "sculpture"),
    "cloth": ("draped cloth", "drapery", "curtain"),
    "stairs": ("stairs", "staircase", "steps"),
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
    if spec.family in ("plaid", "checker", "stripes") or spec.modifier == TWO_COLOURS:
        return f"{first} and {second}", noun
    if spec.family in ("mosaic", "terrazzo"):
        return (f"{first} and {second}", noun) if rng.random() < 0.6 else (first, noun)
    return first, noun


def _adjectives(spec: Spec, rng: np.random.Generator, chance: float) -> list[str]:
    words = []
    # Small and large are nearly always named, so that a prompt without a size means medium.
    sized = chance * 0.3 if spec.size == "medium" else 2.0 * chance
    for options, likely in ((SIZE_WORDS[spec.size], sized), (WEAR_WORDS[spec.wear], chance),
                            (CONTRAST_WORDS[spec.contrast], chance)):  # fmt: skip
        if options and rng.random() < likely:
            words.append(_pick(rng, options))
    rng.shuffle(words)
    return words


def _modified(spec: Spec, rng: np.random.Generator) -> tuple[list[str], list[str]]:
    """Words for a spec's modifier: before the material, and after it. Two colours are named anyway."""
    if not spec.modifier or (spec.modifier == TWO_COLOURS and rng.random() < 0.7):
        return [], []
    before, after = MODIFIER_WORDS[spec.modifier]
    chance = rng.random()
    words = [_pick(rng, before)] if chance < 0.8 else []
    return words, [_pick(rng, after)] if chance > 0.7 else []


def caption(spec: Spec, rng: np.random.Generator) -> str:
    """A random caption of a material picture."""
    noun = _pick(rng, NOUNS[spec.family])
    if spec.family == "stripes" and rng.random() < 0.85:
        noun = f"{spec.direction} {noun}"
    colour, noun = _colour_part(spec, noun, rng)
    if rng.random() < 0.08 and spec.modifier != TWO_COLOURS:
        colour = ""
    words = _adjectives(spec, rng, 0.45)
    before, after = _modified(spec, rng)
    if rng.random() < 0.6:
        words += before
        rng.shuffle(words)
        parts = [" ".join([*words, colour, noun, *after])]
    elif rng.random() < 0.5:
        parts = [" ".join([*before, colour, noun]), *words, *after]
    else:
        tags = [" ".join([colour, noun]), *words, *before, *after]
        if rng.random() < 0.3:
            rng.shuffle(tags)
        parts = list(tags)
    extra = [_pick(rng, STOCK) for _ in range(rng.integers(0, 4))]
    parts = extra + parts if rng.random() < 0.15 else parts + extra
    text = ", ".join(" ".join(part.split()) for part in parts if part.strip())
    return f"a photo of {text}" if rng.random() < 0.06 else text


def canonical(spec: Spec) -> str:
    """The plain caption for measuring: size, wear, modifier, colour, noun, "seamless texture"."""
    colour = spec.colour
    noun = NOUNS[spec.family][0]
    if spec.family == "dots":
        colour, noun = "", f"{spec.second} {noun} on {spec.colour}"
    elif spec.family in ("plaid", "checker", "stripes", "mosaic", "terrazzo") or spec.modifier == TWO_COLOURS:
        colour = f"{spec.colour} and {spec.second}"
    if spec.family == "stripes":
        noun = f"{spec.direction} {noun}"
    size = "" if spec.size == "medium" else spec.size
    wear = ("clean", "", "old")[spec.wear]
    modifier = "" if spec.modifier == TWO_COLOURS else spec.modifier
    return f"{' '.join(f'{size} {wear} {modifier} {colour} {noun}'.split())}, seamless texture"


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
             "contrast": CONTRAST_WORDS, "condition": [before for before, _ in MODIFIER_WORDS.values()]}  # fmt: skip
    return {kind: [list(words) for words in groups if words] for kind, groups in kinds.items()}


def vocabulary() -> list[str]:
    """Every word that a caption may contain, sorted, for the tokenizer."""
    sources: list[str] = [*STOCK, *RENDER_WORDS, *PLAIN_WORDS]
    for group in (NOUNS, SYNONYMS, SIZE_WORDS, SCENE_WORDS, _METAL_ONLY):
        for words in group.values():
            sources.extend(words)
    for words in (*WEAR_WORDS, *CONTRAST_WORDS, *(part for both in MODIFIER_WORDS.values() for part in both)):
        sources.extend(words)
    sources.extend(("a photo of", "on", "and", "with", "background", "horizontal", "vertical", "diagonal"))
    return sorted({word for source in sources for word in source.split()})
