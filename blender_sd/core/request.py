"""Define the request: frozen and complete. The same request gives the same pixels, wherever it comes from."""
from __future__ import annotations

import dataclasses
import json
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .choices import AUTO, PREDICTION_CHOICES, ZERO_SNR_CHOICES, Choices
from .errors import InvalidRequest
from .parts import Axis, Control, Embedding, Lora
from .prompt_choices import LoraTag, chosen, without_loras
from .samplers import DEFAULT_SAMPLER, SAMPLERS, id_of
from .settings import Setting, checked, from_dict, parts_field, setting_field

TEXT_TO_IMAGE = "text_to_image"
IMAGE_TO_IMAGE = "image_to_image"
UPSCALE = "upscale"
INPAINT = "inpaint"
OUTPAINT = "outpaint"
MAKE_SEAMLESS = "make_seamless"
# Each task with the roles of the input pictures that it needs.
NEEDS = {
    TEXT_TO_IMAGE: (), IMAGE_TO_IMAGE: ("source",), UPSCALE: ("source",), INPAINT: ("source", "mask"),
    OUTPAINT: ("source",), MAKE_SEAMLESS: ("source",)}
TASKS = tuple(NEEDS)
MASK_KINDS = ("white", "alpha")
TILING = ("none", "x", "y", "xy")
MAX_SEED = 2**64 - 1  # what torch takes, and other programs write
PANEL_SEED = 2**31 - 1  # Blender's IntProperty is 32-bit signed; seeds that are drawn fit into it
RANDOM_SEED = -1  # as a seed: one that is drawn when the request is made
MIN_SIDE, MAX_SIDE = 16, 8192  # pixels
MAX_PICTURES = 256
FORMAT = 1
_MAX_TEXT = 1 << 20  # characters of the text form; ours have a few thousand
_MAX_PROMPT = 1 << 16  # characters that a grid's axis may lengthen it to


@dataclass(frozen=True)
class Request:
    """Describe pictures to be made. Each field's `Setting` gives its meaning, unit and range.

    `count` pictures are made with the seeds `seed`, `seed + 1`, … (variation seeds, if there is a variation). With
    `axes`, as many are made for each cell of the grid. Each is the same picture that `single(i)`, a request for one
    picture, gives alone.

    Attributes:
        model: "starter", or the path of a model folder or file.
        source, mask, reference: The digests "sha256:…" of the input pictures, "" for none. The pictures travel beside
            the request (`messages.Source`), each under its role.
    """

    task: str = setting_field(TEXT_TO_IMAGE, "Task", "What is made from what", choices=TASKS)
    prompt: str = setting_field(
        "", "Prompt",
        "What the picture should show. (word:1.3) weighs a word, {a|b} chooses one by the seed, __name__ one line of a "
        "list, <lora:name:0.8> puts a LoRA on"
    )
    negative: str = setting_field("", "Negative Prompt", "What the picture should not show")
    model: str = setting_field(
        "starter", "Model",
        "The Stable Diffusion model that paints: the built-in starter model or a folder in diffusers format")
    width: int = setting_field(512, "Width", "Width of the picture in pixels; rounded to what the model can paint",
                               low=MIN_SIDE, high=MAX_SIDE, soft_high=2048)
    height: int = setting_field(512, "Height", "Height of the picture in pixels; rounded to what the model can paint",
                                low=MIN_SIDE, high=MAX_SIDE, soft_high=2048)
    steps: int = setting_field(20, "Steps", "How many times the picture is denoised; more is slower and finer", low=1,
                               high=500, soft_high=60)
    guidance: float = setting_field(5.0, "Guidance",
                                    "How closely the picture follows the prompt (CFG scale); 1 turns guidance off",
                                    low=0.0, high=100.0, soft_high=15.0)
    sampler: str = setting_field(DEFAULT_SAMPLER, "Sampler", "The method that walks from noise to picture",
                                 choices=tuple(SAMPLERS))
    seed: int = setting_field(0, "Seed", "Where the noise starts; the same seed and settings give the same picture",
                              low=0, high=MAX_SEED)
    variation_strength: float = setting_field(
        0.0, "Variation",
        "How far the noise leans towards the variation seed's: small values vary the picture a little", low=0.0,
        high=1.0)
    variation_seed: int = setting_field(0, "Variation Seed",
                                        "The seed that the picture leans towards; several images take the next ones",
                                        low=0, high=MAX_SEED)
    count: int = setting_field(1, "Images", "How many pictures to make, each with the next seed", low=1, high=64,
                               soft_high=8)
    tiling: str = setting_field("none", "Tiling", "Axes along which the picture repeats without a seam", choices=TILING)
    strength: float = setting_field(0.5, "Strength",
                                    "How far to depart from the source: 0 returns it unchanged, 1 ignores it", low=0.0,
                                    high=1.0)
    tile: int = setting_field(
        512, "Tile Size",
        "Side in pixels of the pieces in which a large picture is refined; best what the model was trained for", low=64,
        high=4096, soft_high=1024)
    refine_scale: float = setting_field(
        1.0, "Enlarge", "Paint small, then enlarge by this factor and refine (high-res fix); 1 leaves it out", low=1.0,
        high=8.0, soft_high=4.0)
    refine_strength: float = setting_field(0.35, "Refine Strength",
                                           "How far the refining may depart from the enlarged picture", low=0.0,
                                           high=1.0)
    upscaler: str = setting_field(
        "", "Upscaler",
        "The upscaler that enlarges before the model refines: a file, or a folder in diffusers format; empty for plain "
        "resampling (Lanczos)"
    )
    upscaler_noise: int = setting_field(
        20, "Noise Level", "How much noise an SD x4 upscaler adds to the picture first; more lets it invent more",
        low=0, high=350)
    loras: tuple[Lora, ...] = parts_field(Lora, "LoRAs", "Low-rank additions to the model's weights")
    embeddings: tuple[Embedding, ...] = parts_field(Embedding, "Textual Inversions",
                                                    "Words of their own that the prompts name")
    axes: tuple[Axis, ...] = parts_field(Axis, "Grid",
                                         "Up to two settings that change from picture to picture: across, and down")
    controls: tuple[Control, ...] = parts_field(Control, "Controls", "ControlNets that steer the picture's structure")
    ip_adapter: str = setting_field("", "IP-Adapter",
                                    "The file of the IP-Adapter that reads the reference image; empty for none")
    ip_adapter_weight: float = setting_field(0.6, "Weight", "How much the reference image counts beside the prompt",
                                             low=0.0, high=2.0, soft_high=1.0)
    mask_kind: str = setting_field("white", "Mask Shows",
                                   "Whether the white parts of the mask are repainted, or the transparent ones",
                                   choices=MASK_KINDS)
    mask_grow: int = setting_field(0, "Grow",
                                   "Pixels by which the mask grows before painting; it shrinks where negative",
                                   low=-512, high=512)
    mask_feather: int = setting_field(
        8, "Feather", "Pixels inside the mask's edge over which the new picture fades into the old one", low=0,
        high=512)
    mask_full_res: bool = setting_field(
        False, "Only Masked Area",
        "Paint only the masked area and what is round it, enlarged to the size that the model paints best")
    mask_context: int = setting_field(32, "Context", "Pixels round the masked area that the model sees with it", low=0,
                                      high=2048)
    expand_left: int = setting_field(0, "Left", "Pixels to add on the left", low=0, high=MAX_SIDE)
    expand_right: int = setting_field(0, "Right", "Pixels to add on the right", low=0, high=MAX_SIDE)
    expand_top: int = setting_field(0, "Top", "Pixels to add at the top", low=0, high=MAX_SIDE)
    expand_bottom: int = setting_field(0, "Bottom", "Pixels to add at the bottom", low=0, high=MAX_SIDE)
    band: float = setting_field(0.2, "Band", "How much of the side is repainted across the border, as a share",
                                low=0.01, high=0.9)
    style: str = setting_field(
        "", "Style", "The style whose words are in the prompts already; only its name, which changes no pixel")
    vae: str = setting_field(
        "", "VAE",
        "The VAE that decodes the picture, where not the model's own: a file, or a folder in diffusers format")
    prediction: str = setting_field(
        AUTO, "Prediction", "What the model predicts, where its files do not say it right: a wrong one paints noise",
        choices=PREDICTION_CHOICES)
    zero_snr: str = setting_field(
        AUTO, "Zero SNR", "Whether the model was trained down to no signal at all, where its files do not say it right",
        choices=ZERO_SNR_CHOICES)
    source: str = ""
    mask: str = ""
    reference: str = ""

    def __post_init__(self) -> None:
        for name in ("seed", "variation_seed"):
            value = getattr(self, name)
            if type(value) is not bool and value == RANDOM_SEED:
                object.__setattr__(self, name, random.SystemRandom().randint(0, PANEL_SEED))
        checked(self)
        if len(self.axes) > 2 or self.pictures > MAX_PICTURES:
            many = f"{self.pictures} pictures" if len(self.axes) <= 2 else f"{len(self.axes)} axes"
            raise InvalidRequest(f"A grid has at most two axes and {MAX_PICTURES} pictures, not {many}.",
                                 "Take some values out.")
        for index in range(self.cells if self.axes else 0):
            self.cell(index)

    @property
    def cells(self) -> int:
        """The number of cells of the grid; 1 without axes."""
        return math.prod(len(axis.options) for axis in self.axes)

    @property
    def pictures(self) -> int:
        """The number of pictures in all."""
        return self.cells * self.count

    @property
    def final_size(self) -> tuple[int, int]:
        """(width, height) of each finished picture in pixels, after the high-res fix if there is one."""
        scale = max(1.0, self.refine_scale)
        return min(MAX_SIDE, round(self.width * scale)), min(MAX_SIDE, round(self.height * scale))

    def cell(self, index: int) -> Request:
        """Return the request of one cell of the grid, counted row by row. Raise InvalidRequest for an impossible value.
        """
        changes: dict[str, Any] = {"axes": ()}
        for axis in self.axes:
            index, at = divmod(index, len(axis.options))
            changes[axis.setting] = self._on_axis(axis, at)
        return dataclasses.replace(self, **changes)

    def _on_axis(self, axis: Axis, at: int) -> Any:
        value, kind = axis.options[at], self.__dataclass_fields__[axis.setting].type
        if axis.setting == "prompt":
            if axis.options[0] not in self.prompt:
                raise InvalidRequest(
                    f"The prompt does not hold '{axis.options[0]:.80}', the first value of the grid's prompt axis.",
                    "Begin the axis with a part of the prompt; it is replaced by each value.")
            longer = self.prompt.count(axis.options[0]) * (len(value) - len(axis.options[0]))
            if len(self.prompt) + longer > max(_MAX_PROMPT, len(self.prompt)):
                raise InvalidRequest("The grid's prompt axis makes the prompt too long.",
                                     "Begin it with a longer part of the prompt.")
            return self.prompt.replace(axis.options[0], value)
        if axis.setting == "sampler":
            return id_of(value)
        convert: dict[object, type] = {"int": int, "float": float}
        try:
            return convert.get(kind, str)(value)
        except ValueError:
            raise InvalidRequest(f"'{value:.40}' on the grid's axis '{axis.setting}' is no number.",
                                 "Separate numbers by commas.") from None

    @property
    def inputs(self) -> dict[str, str]:
        """The known digests of the input pictures by role: "source", "mask", "reference", "control0", …."""
        digests = {"source": self.source, "mask": self.mask, "reference": self.reference,
                   **{f"control{index}": control.image for index, control in enumerate(self.controls)}}
        return {role: digest for role, digest in digests.items() if digest}

    @property
    def choices(self) -> Choices:
        """What was chosen for the model instead of what its files say."""
        return Choices(self.vae, self.prediction, self.zero_snr)

    @property
    def nets(self) -> list[tuple[str, str]]:
        """The nets that take part beside the model: each one's kind, and its file or folder.

        The built-in ControlNet is called "starter".
        """
        nets = [("LoRA", lora.file) for lora in self.loras]
        nets += [("ControlNet", control.model) for control in self.controls]
        nets += [("textual inversion", embedding.file) for embedding in self.embeddings]
        nets += [("IP-Adapter", self.ip_adapter), ("upscaler", self.upscaler), ("VAE", self.vae)]
        return [(kind, file) for kind, file in nets if file]

    def with_inputs(self, digests: Mapping[str, str]) -> Request:
        """Return the request with the digests of its input pictures filled in.

        Args:
            digests: The digests by role, as in `inputs`.
        """
        controls = tuple(dataclasses.replace(control, image=digests.get(f"control{index}", control.image))
                         for index, control in enumerate(self.controls))
        plain: dict[str, Any] = {role: digest for role, digest in digests.items() if not role.startswith("control")}
        return dataclasses.replace(self, controls=controls, **plain)

    def single(self, index: int) -> Request:
        """Return the request of one picture alone, its choices {a|b} made and the LoRAs of its tags added.

        This is what is written into its PNG.
        """
        drawn = self.drawn(index)
        named = {lora.tag: lora for lora in self.loras if lora.tag}
        if not named:
            return drawn
        prompt, tags = without_loras(drawn.prompt, named)
        loras = [lora for lora in self.loras if not lora.tag] + [_with_tag(named[tag.name], tag) for tag in tags]
        return dataclasses.replace(drawn, prompt=prompt, loras=tuple(loras))

    def drawn(self, index: int) -> Request:
        """Return the request of one picture with its choices made; the LoRA tags in them are still in its prompt."""
        cell, number = divmod(index, self.count)
        request = self.cell(cell)
        turning = "variation_seed" if request.variation_strength > 0 else "seed"
        seeds = {"seed": request.seed, turning: (getattr(request, turning) + number) % (MAX_SEED + 1)}
        return dataclasses.replace(request, **seeds, count=1, prompt=chosen(request.prompt, seeds["seed"]),
                                   negative=chosen(request.negative, seeds["seed"]))

    def to_json(self) -> str:
        """Return a stable text form that includes the format's number."""
        return json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, ensure_ascii=False, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Request:
        """Read the text that `to_json` wrote, possibly in a file from somebody else.

        Raises:
            InvalidRequest: `text` is anything else, or a setting is out of range.
        """
        try:
            if len(text) > _MAX_TEXT:
                raise ValueError(f"{len(text)} characters")
            raw = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidRequest("These settings cannot be read.", "The image was not made by this add-on.",
                                 repr(error)) from None
        return cls.from_dict(raw)

    @classmethod
    def from_dict(cls, raw: object) -> Request:
        """Return the request in a decoded JSON object. Raise InvalidRequest for anything else."""
        if not isinstance(raw, dict) or raw.get("format") != FORMAT:
            raise InvalidRequest("These settings are of a format that this version does not know.",
                                 "Update the add-on.")
        return from_dict(cls, {key: value for key, value in raw.items() if key != "format"})


def _with_tag(lora: Lora, tag: LoraTag) -> Lora:
    return dataclasses.replace(lora, weight=tag.weight, text_weight=tag.text_weight, tag="")


def setting(name: str) -> Setting:
    """Return the `Setting` of the request field `name`."""
    return Request.__dataclass_fields__[name].metadata["setting"]


def default(name: str) -> Any:
    """Return the default of the request field `name`."""
    return Request.__dataclass_fields__[name].default


def round_size(width: int, height: int, multiple: int) -> tuple[int, int]:
    """Return the nearest size (width, height) whose sides are positive multiples of `multiple` pixels."""
    def rounded(side: int) -> int:
        return max(multiple, (side + multiple // 2) // multiple * multiple)

    return rounded(width), rounded(height)
