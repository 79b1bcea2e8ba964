"""Define the tasks: what is made from what. Each declares the settings that it has beyond those of all requests.

A task's class is all that the rest needs to know of it: the roles of the pictures it works on, how it calls a model,
and its name in files, which never changes.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from . import part_prompts
from .common_settings import MAX_SIDE, CommonSettings
from .settings import LIST, PANEL, PIXELS, SHARE, STYLE, setting_field
from .task_base import IMAGE_TO_IMAGE, Task

TEXT_TO_IMAGE = "text_to_image"
UPSCALE = "upscale"
INPAINT = "inpaint"
OUTPAINT = "outpaint"
MAKE_SEAMLESS = "make_seamless"
SEED_WALK = "seed_walk"
BAKE = "bake"
TEXTURE_OBJECT = "texture_object"
PBR_MAPS = "pbr_maps"
RESTYLE_SEQUENCE = "restyle_sequence"
MASK_KINDS = ("white", "alpha")
SIDES = ("front", "front right", "right", "back right", "back", "back left", "left", "front left", "top", "bottom")

_STRENGTH: dict[str, Any] = {"low": 0.0, "high": 1.0, "unit": SHARE, "a1111": "Denoising strength"}
_GROWTH: dict[str, Any] = {"low": 0, "high": MAX_SIDE, "unit": PIXELS, "step": 16, "group": "outpaint"}


def _tile(only_with: str = "") -> int:
    return setting_field(
        512, "Tile Size",
        "Side in pixels of the pieces in which a large picture is refined; best what the model was trained for",
        (PANEL,), low=64, high=4096, soft_high=1024, unit=PIXELS, step=64, prop="tile",
        only_with=only_with)


def _upscaler() -> str:
    return setting_field(
        "", "Upscaler",
        "The upscaler that enlarges before the model refines: a file, or a folder in diffusers format; empty for plain "
        "resampling (Lanczos)", (PANEL,), prop="upscaler", group="upscaler", placeholder="Resampling")


def _upscaler_noise() -> int:
    return setting_field(
        20, "Noise Level", "How much noise an SD x4 upscaler adds to the picture first; more lets it invent more",
        (PANEL,), low=0, high=350, prop="upscaler_noise", group="upscaler", only_with="upscaler")


@dataclass(frozen=True, kw_only=True)
class TextToImage(Task):
    """A picture from words, enlarged and refined if `refine_scale` is above 1 (high-res fix).

    With a `scale`, it is painted at that many times the model's native size and enlarged to its own.
    """

    name = TEXT_TO_IMAGE
    label = "Text to Image"
    needs = ()
    call = TEXT_TO_IMAGE
    doing = "paint from words alone"
    regional = True

    scale: float = setting_field(
        0.0, "Scale",
        "How many pictures of the model's own size fit across this one: 1 paints at that size and adds detail up to "
        "the picture's size, 2 paints twice as many features; at 0 all pixels are painted, and features keep their "
        "size in pixels", (PANEL, STYLE, LIST), low=0.0, high=16.0, soft_high=4.0, step=50, digits=2, axis=10,
        example="1, 2, 4", prop="feature_scale", group="size", neutral=True)
    native: int = setting_field(
        0, "Native Size", "The side in pixels of pictures that the model was made for; 0 if that does not matter",
        low=0, high=MAX_SIDE, unit=PIXELS)
    refine_scale: float = setting_field(
        1.0, "Enlarge", "Paint small, then enlarge by this factor and refine (high-res fix); 1 leaves it out", (PANEL,),
        low=1.0, high=8.0, soft_high=4.0, step=50, digits=2, prop="refine_scale", a1111="Hires upscale", neutral=True)
    refine_strength: float = setting_field(
        0.35, "Refine Strength", "How far the refining may depart from the enlarged picture", (PANEL,), **_STRENGTH,
        prop="refine_strength", axis=6, example="0.2, 0.35, 0.5", only_with="refine_scale")
    tile: int = _tile(only_with="refine_scale")
    upscaler: str = _upscaler()
    upscaler_noise: int = _upscaler_noise()


@dataclass(frozen=True, kw_only=True)
class ImageToImage(Task):
    """A picture painted over another one."""

    name = IMAGE_TO_IMAGE
    label = "Image to Image"
    doing = "work from an image"
    regional = True

    strength: float = setting_field(
        0.5, "Strength", "How far to depart from the source: 0 returns it unchanged, 1 ignores it", (STYLE,),
        **_STRENGTH, axis=3, example="0.3, 0.5, 0.7")


@dataclass(frozen=True, kw_only=True)
class Upscale(Task):
    """A larger picture, refined by the model tile by tile."""

    name = UPSCALE
    label = "Upscale"
    prompt_tip = "What the enlarged picture shows"
    doing = "refine what is enlarged"
    own_prompt = "upscale_prompt"

    strength: float = setting_field(0.35, "Refine Strength",
                                    "How far the refining may depart from the enlarged picture", (PANEL,), **_STRENGTH)
    tile: int = _tile()
    upscaler: str = _upscaler()
    upscaler_noise: int = _upscaler_noise()


@dataclass(frozen=True, kw_only=True)
class Inpaint(Task):
    """A picture whose masked part is repainted."""

    name = INPAINT
    label = "Inpaint"
    prompt_tip = "What is painted into the mask"
    needs = ("source", "mask")
    call = INPAINT
    doing = "inpaint"
    of_a_part = True
    own_prompt = "inpaint_prompt"

    strength: float = setting_field(
        1.0, "Strength", "How far to depart from the source: 0 returns it unchanged, 1 ignores it", (PANEL,),
        **_STRENGTH)
    mask_kind: str = setting_field("white", "Mask Shows",
                                   "Whether the white parts of the mask are repainted, or the transparent ones",
                                   choices=MASK_KINDS)
    grow: int = setting_field(
        0, "Grow", "Pixels by which the mask grows before painting; it shrinks where negative", (PANEL,), low=-512,
        high=512, unit=PIXELS, prop="mask_grow", group="mask")
    feather: int = setting_field(
        8, "Feather", "Pixels inside the mask's edge over which the new picture fades into the old one", (PANEL,),
        low=0, high=512, unit=PIXELS, prop="mask_feather", group="mask")
    full_res: bool = setting_field(
        False, "Only Masked Area",
        "Paint only the masked area and what is round it, enlarged to the size that the model paints best", (PANEL,),
        prop="mask_full_res", group="mask")
    context: int = setting_field(32, "Context", "Pixels round the masked area that the model sees with it", (PANEL,),
                                 low=0, high=2048, unit=PIXELS, prop="mask_context", group="mask", only_with="full_res")
    tile: int = _tile(only_with="full_res")


@dataclass(frozen=True, kw_only=True)
class Outpaint(Task):
    """A picture that is continued beyond its borders."""

    name = OUTPAINT
    label = "Outpaint"
    prompt_tip = "What is painted beyond the borders"
    call = INPAINT
    doing = "paint on beyond the borders"
    of_a_part = True
    own_prompt = "outpaint_prompt"
    defaults = {"tiling": "none"}  # a style's would make borders meet that do not exist

    left: int = setting_field(0, "Left", "Pixels to add on the left", (PANEL,), **_GROWTH, prop="expand_left")
    right: int = setting_field(0, "Right", "Pixels to add on the right", (PANEL,), **_GROWTH, prop="expand_right")
    top: int = setting_field(0, "Top", "Pixels to add at the top", (PANEL,), **_GROWTH, prop="expand_top")
    bottom: int = setting_field(0, "Bottom", "Pixels to add at the bottom", (PANEL,), **_GROWTH, prop="expand_bottom")
    overlap: int = setting_field(8, "Overlap", "Pixels inside the old border that are painted over and blended in",
                                 low=0, high=512, unit=PIXELS)
    strength: float = setting_field(1.0, "Strength", "How much of the new area's first filling is repainted",
                                    **_STRENGTH)


@dataclass(frozen=True, kw_only=True)
class MakeSeamless(Task):
    """A texture that repeats: a band across its border is repainted."""

    name = MAKE_SEAMLESS
    label = "Make Seamless"
    prompt_tip = "What is painted over the seam"
    call = INPAINT
    doing = "make a texture seamless"
    of_a_part = True
    own_prompt = "seamless_prompt"
    defaults = {"tiling": "xy"}

    band: float = setting_field(0.2, "Band", "How much of the side is repainted across the border, as a share",
                                (PANEL,), low=0.01, high=0.9, unit=SHARE, prop="band", group="make_seamless")
    strength: float = setting_field(
        0.75, "Strength", "How far to depart from the source: 0 returns it unchanged, 1 ignores it", (PANEL,),
        **_STRENGTH, prop="seamless_strength", group="make_seamless")
    feather: int = setting_field(8, "Feather", "Pixels over which the band fades into the old picture", low=0,
                                 high=512, unit=PIXELS)


@dataclass(frozen=True, kw_only=True)
class SeedWalk(Task):
    """Variations of a picture: the noise of each next one leans further towards the variation seed's."""

    name = SEED_WALK
    label = "Seed Walk"
    prompt_tip = "What the variations show"
    doing = "work from an image"
    own_prompt = "seed_walk_prompt"
    sets = ("variation_strength",)
    defaults = {"count": 4}

    strength: float = setting_field(
        0.4, "Strength", "How far the variations depart from the picture: 0 returns it unchanged, 1 ignores it",
        (PANEL,), **_STRENGTH, group="seed_walk")
    walk: float = setting_field(
        0.5, "Walk", "How far the last picture's noise is on its way from the seed to the variation seed; those before "
                     "it are spread evenly", (PANEL,), low=0.0, high=1.0, unit=SHARE, group="seed_walk")

    def of_picture(self, request: CommonSettings, number: int) -> dict[str, Any]:
        here = self.walk * (number + 1) / request.count
        return {"walk": here, "variation_strength": here}


@dataclass(frozen=True, kw_only=True)
class Bake(Task):
    """Pictures brought onto objects. No model takes part, so it is none of `TASKS`."""

    name = BAKE
    needs = ()
    call = ""
    doing = "bake"

    soft: int = setting_field(1, "Soft Edges", "Pixels at the edges of objects that are left out, because antialiasing "
                                               "mixes into them what is behind", low=0, high=16, unit=PIXELS)
    harmonise: bool = setting_field(True, "Harmonise", "Make the pictures' colours agree where they overlap")
    fill: bool = setting_field(True, "Fill", "Give what no picture shows the colours of its surroundings")
    close_seams: bool = setting_field(True, "Close Seams", "Make colours agree across the seams of UV islands")
    dilation: int = setting_field(16, "Margin", "Pixels round UV islands that get the border's colours", low=0,
                                  high=128, unit=PIXELS)


@dataclass(frozen=True, kw_only=True)
class TextureObject(Task):
    """An object's textures, painted from every side at once. It has views in place of one picture, so it is none of
    `TASKS`."""

    name = TEXTURE_OBJECT
    label = "Texture Object"
    needs = ()
    call = TEXT_TO_IMAGE
    doing = "texture objects"
    sets = ("count", "tiling")

    strength: float = setting_field(
        1.0, "Strength", "How far to depart from the textures that the objects have: 1 ignores them", (PANEL,),
        **_STRENGTH, group="texture_object")
    sides: str = setting_field(
        "", "Sides", "Which of the ten sides are painted, by their names and commas between them; empty for all")
    parts: str = setting_field("", "Prompts of Parts",
                               "Textures with a prompt of their own, as JSON: [[prompt, [numbers]], …]")
    look: bool = setting_field(False, "Quick Look", "Paint only the first view, and bake nothing")
    mirror: bool = setting_field(
        False, "Mirror", "Paint the right half and mirror it (world X); for objects that are symmetrical", (PANEL,),
        group="texture_object")
    more_views: int = setting_field(
        6, "More Views", "How many views may be added where the others do not see the surface well", (PANEL,), low=0,
        high=54, soft_high=16, group="texture_object")
    view_words: bool = setting_field(
        True, "View Words", "Add \"front view\", \"back view\" and so on to the prompt, so that a figure gets one face",
        (PANEL,), group="texture_object")
    share: bool = setting_field(
        True, "Share Attention", "Let each view look at its neighbors while it is painted; only with SD 1.5, SD 2, "
                                 "SDXL and SD 3.5", (PANEL,), group="texture_object")
    fill: bool = setting_field(
        True, "Fill", "Give what no view sees the colors of its surroundings; otherwise it stays as it is", (PANEL,),
        group="texture_object")
    paint_unseen: bool = setting_field(
        False, "Paint Unseen", "Inpaint what no view sees on the finished textures; without, it only takes the colors "
                               "of its surroundings", (PANEL,), group="texture_object")
    texture_refine: float = setting_field(
        0.0, "Refine", "How far the finished textures are refined, tile by tile, for detail finer than the views' "
                       "pixels; 0 leaves them as they are", (PANEL,), **_STRENGTH, group="texture_object")
    batch: int = setting_field(
        0, "Views at Once", "How many views the model denoises at a time; 0 for as many as fit into memory", (PANEL,),
        low=0, high=64, group="texture_object")
    maps: bool = setting_field(
        False, "All Maps", "Take light out of the base color, and estimate normals, roughness and what is metal from "
                           "the views", (PANEL,), prop="object_maps", group="texture_object")

    def __post_init__(self) -> None:
        super().__post_init__()
        part_prompts.read(self.parts)

    @property
    def prompts(self) -> tuple[str, ...]:
        return tuple(prompt for prompt, _ in part_prompts.read(self.parts))

    def with_prompts(self, prompts: Sequence[str]) -> TextureObject:
        new = iter(prompts)
        return replace(self, parts=part_prompts.reworded(self.parts, lambda _: next(new)))


@dataclass(frozen=True, kw_only=True)
class RestyleSequence(Task):
    """The frames of a shot, each painted over so that surfaces keep what was painted on them. It has frames in place
    of one picture, so it is none of `TASKS`."""

    name = RESTYLE_SEQUENCE
    label = "Restyle Animation"
    prompt_tip = "What the frames show"
    needs = ()
    of_frames = True
    doing = "restyle animations"
    regional = True
    sets = ("count", "tiling")

    strength: float = setting_field(
        0.5, "Strength", "How far to depart from the frames: 0 returns them unchanged, 1 ignores them", (PANEL,),
        **_STRENGTH, group="restyle_sequence")
    consistency: float = setting_field(
        1.0, "Consistency", "How firmly the style sticks to surfaces: at 0 each frame is painted freely and flickers, "
                            "at 1 it is painted on the surface", (PANEL,), low=0.0, high=1.0, unit=SHARE,
        group="restyle_sequence")
    key_distance: int = setting_field(
        10, "Key Distance", "Frames between two keyframes, which the model paints whole; more of them are painted "
                                 "where much comes into view", (PANEL,), low=1, high=100, soft_high=24,
        group="restyle_sequence")
    follow_light: float = setting_field(
        1.0, "Follow Light", "How far shadows and reflections change as they do in the frames", (PANEL,), low=0.0,
        high=1.0, unit=SHARE, group="restyle_sequence")
    share: bool = setting_field(
        True, "Share Attention", "Let keyframes look at their neighbors while they are painted; only with SD 1.5, SD 2 "
                                 "and SDXL", (PANEL,), group="restyle_sequence")
    batch: int = setting_field(
        0, "Keys at Once", "How many keyframes the model denoises at a time; 0 for as many as fit into memory",
        (PANEL,), low=0, high=64, group="restyle_sequence")
    frame_bits: str = setting_field(
        "8", "Bits", "Bits of each value of the finished frames", (PANEL,), choices=("8", "16"),
        words={"8": ("8 Bit", "Small files"), "16": ("16 Bit", "Smooth gradients; larger files")},
        prop="frame_bits", group="restyle_sequence")
    skip_broken: bool = setting_field(
        False, "Skip Broken Frames", "Leave out frames that cannot be read, and name them; otherwise the first one "
                                     "stops the job", (PANEL,), group="restyle_sequence")


# Where a material's maps come from, by identifiers that never change.
AUTO_SOURCE, MARIGOLD, TRAINED, ESTIMATED = "auto", "marigold", "trained", "estimated"
MAP_SOURCES = {
    AUTO_SOURCE: ("Best Available", "Marigold where its weights are in the model folders, else the built-in estimator"),
    MARIGOLD: ("Marigold", "Marigold's pipelines for intrinsics and normals, with weights in the model folders"),
    TRAINED: ("Built In", "The estimator that comes with the add-on, trained on procedural materials"),
    ESTIMATED: ("Plain Estimate", "Brightness taken for height, unevenness for roughness, nothing metallic"),
}
WRAPS = ("auto", "none", "x", "y", "xy")


@dataclass(frozen=True, kw_only=True)
class PbrMaps(Task):
    """The maps of a material from one picture of it. No model is chosen for it, so it is none of `TASKS`."""

    name = PBR_MAPS
    label = "Material Maps"
    call = ""
    doing = "make a material's maps"

    map_source: str = setting_field(
        AUTO_SOURCE, "Maps By", "What makes the maps of a material out of its picture", (PANEL,),
        choices=tuple(MAP_SOURCES), words=MAP_SOURCES, prop="map_source", group="material")
    map_bits: str = setting_field(
        "16", "Bits", "Bits of each value of the normal and height maps", (PANEL,), choices=("8", "16"),
        words={"8": ("8 Bit", "Small files; steps may show on smooth slopes"),
               "16": ("16 Bit", "Smooth slopes; larger files")}, prop="map_bits", group="material")
    metres: float = setting_field(
        1.0, "Width", "How much of the real surface the picture shows across, in metres; it gives the height its depth",
        (PANEL,), low=0.001, high=1000.0, soft_high=10.0, step=10, digits=3, prop="map_metres", group="material")
    wraps: str = setting_field("auto", "Wraps", "The axes on which the picture repeats; auto looks for itself",
                               choices=WRAPS)
    intrinsics: str = setting_field("", "Intrinsics", "The folder of the Marigold intrinsics weights")
    normals: str = setting_field("", "Normals", "The folder of the Marigold normals weights")


TASKS: dict[str, type[Task]] = {
    task.name: task for task in (TextToImage, ImageToImage, Upscale, Inpaint, Outpaint, MakeSeamless, SeedWalk)}
# Those too that are about objects of a scene, whose pictures' settings do not hold them, so that nothing repeats them
# alone; and the maps of a material, which no model makes.
KNOWN: dict[str, type[Task]] = {
    **TASKS, **{task.name: task for task in (Bake, TextureObject, PbrMaps, RestyleSequence)}}


def task_fields(task: str | type[Task]) -> tuple[str, ...]:
    """Return the names of the settings that a task (its class, or its name in files) has beside the common ones."""
    return tuple(spec.name for spec in fields(KNOWN[task] if isinstance(task, str) else task))
