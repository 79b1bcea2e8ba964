"""The families of models, and what each can do: the one table that the engine, the library, the panels and the README follow.

Classes are named by strings, so that the panels can read the table without torch. A family is told from the class of the
pipeline in model_index.json and from the configs of its parts, never from a name that a person gave.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .request import IMAGE_TO_IMAGE, INPAINT, MAKE_SEAMLESS, OUTPAINT, TEXT_TO_IMAGE, UPSCALE
from .samplers import DEFAULT_SAMPLER

# How each task calls the model: from words alone, from a picture, or from a picture and a mask.
CALLS = {TEXT_TO_IMAGE: TEXT_TO_IMAGE, IMAGE_TO_IMAGE: IMAGE_TO_IMAGE, UPSCALE: IMAGE_TO_IMAGE, INPAINT: INPAINT, OUTPAINT: INPAINT,
         MAKE_SEAMLESS: INPAINT}
_DOING = {TEXT_TO_IMAGE: "paint from words alone", IMAGE_TO_IMAGE: "work from an image", UPSCALE: "refine what is enlarged",
          INPAINT: "inpaint", OUTPAINT: "paint on beyond the borders", MAKE_SEAMLESS: "make a texture seamless"}
Calls = Mapping[str, str]  # how the model is called -> diffusers' class that does it


@dataclass(frozen=True)
class Family:
    """One family, or a member of it that can do other things. `name` is shown. `pipelines`: diffusers' class for each way of
    calling. `controls`: for each class of ControlNet the same, steered by it; `several`: whether more than one at once.
    `reference`: whether an IP-Adapter can show it a picture; `blind`: the classes of its pipelines that take none all the same.
    `edits`: from a picture it follows an instruction, so that strength means nothing and nothing can be refined. `side`,
    `steps`, `guidance`, `sampler`: what it works best with. `packing`: latent pixels a side that the transformer takes as one,
    where its config does not say it. `own_sampler`: it works with its own alone. `unguided`: the value of diffusers'
    guidance_scale at which guidance is off. `transformer`: whether its denoiser is one, which cannot wrap by padding."""

    name: str
    side: int
    steps: int
    guidance: float
    sampler: str = DEFAULT_SAMPLER
    pipelines: Calls = field(default_factory=dict)
    controls: Mapping[str, Calls] = field(default_factory=dict)
    several: bool = True
    edits: bool = False
    packing: int = 0
    own_sampler: bool = True
    transformer: bool = True
    loras: bool = True
    embeddings: bool = False
    reference: bool = False
    blind: tuple[str, ...] = ()
    weights: bool = False
    negative: bool = True
    guides: bool = True
    unguided: float = 1.0

    @property
    def strength(self) -> bool:
        """Whether it can depart from an image by a strength."""
        return IMAGE_TO_IMAGE in self.pipelines and not self.edits

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that it can do."""
        return tuple(task for task, call in CALLS.items() if call in self.pipelines and not (self.edits and task == UPSCALE))

    def refusal(self, task: str, controlnet: str | None = None, reference: bool = False) -> str:
        """Why it cannot do `task` (steered by ControlNets of the class `controlnet`, with a `reference` image), as a sentence; ""
        where it can."""
        if task not in self.tasks:
            if set(self.pipelines) == {INPAINT}:
                return f"{self.name} models can only inpaint."
            why = " edit by instruction and" if self.edits and task == UPSCALE else ""
            return f"{self.name} models{why} cannot {_DOING[task]}."
        if controlnet is not None and (task == UPSCALE or CALLS[task] not in self.controls.get(controlnet, {})):
            return f"With a ControlNet, {self.name} models cannot {_DOING[task]}."
        if reference and not self.reference:
            return f"Reference images do not work with {self.name} models."
        if reference and controlnet is not None and self.controls[controlnet][CALLS[task]] in self.blind:
            return f"With a ControlNet and a reference image, {self.name} models cannot {_DOING[task]}."
        return ""

    def steers(self, task: str) -> bool:
        """Whether any ControlNet can steer `task`."""
        return any(not self.refusal(task, controlnet) for controlnet in self.controls)


def _calls(stem: str, *, end: str = "Pipeline") -> Calls:
    return {TEXT_TO_IMAGE: f"{stem}{end}", IMAGE_TO_IMAGE: f"{stem}Img2Img{end}", INPAINT: f"{stem}Inpaint{end}"}


def _both(pipeline: str) -> Calls:
    """Of a class that takes a picture or none."""
    return {TEXT_TO_IMAGE: pipeline, IMAGE_TO_IMAGE: pipeline}


_UNET = {"own_sampler": False, "transformer": False, "embeddings": True, "weights": True}
_SD = Family("SD 1.5", 512, 20, 7.0, pipelines=_calls("StableDiffusion"),
             controls={"ControlNetModel": _calls("StableDiffusionControlNet")}, reference=True, **_UNET)
_FLUX = Family("Flux.1", 1024, 28, 3.5, "euler", packing=2, negative=False, pipelines=_calls("Flux"),
               controls={"FluxControlNetModel": _calls("FluxControlNet")}, reference=True,
               blind=("FluxControlNetImg2ImgPipeline", "FluxControlNetInpaintPipeline"))
_QWEN = Family("Qwen-Image", 1024, 30, 4.0, "euler", packing=2, pipelines=_calls("QwenImage"), several=False,
               controls={"QwenImageControlNetModel": {TEXT_TO_IMAGE: "QwenImageControlNetPipeline"}})
_SANA = Family("SANA", 1024, 20, 4.5, pipelines={TEXT_TO_IMAGE: "SanaPipeline"}, several=False,
               controls={"SanaControlNetModel": {TEXT_TO_IMAGE: "SanaControlNetPipeline"}})
_KLEIN = Family("Flux.2 Klein", 1024, 28, 4.0, "euler", packing=2, negative=False, edits=True,
                pipelines={**_both("Flux2KleinPipeline"), INPAINT: "Flux2KleinInpaintPipeline"})

# By the class of the pipeline in a model's index; the classes that a family names belong to it as well. Steps and guidance: the
# defaults in diffusers' pipelines and the model cards. The flow-matching families have a scheduler of their own, an Euler method.
FAMILIES: dict[str, Family] = {
    "StableDiffusionPipeline": _SD,
    "StableDiffusionXLPipeline": Family(
        "SDXL", 1024, 25, 6.0, pipelines=_calls("StableDiffusionXL"), reference=True, **_UNET,
        controls={"ControlNetModel": _calls("StableDiffusionXLControlNet"),
                  "ControlNetUnionModel": _calls("StableDiffusionXLControlNetUnion")}),
    "StableDiffusion3Pipeline": Family(
        "SD 3.5", 1024, 28, 4.5, "euler", pipelines=_calls("StableDiffusion3"), reference=True,
        controls={"SD3ControlNetModel": {TEXT_TO_IMAGE: "StableDiffusion3ControlNetPipeline"}}),
    "LatentConsistencyModelPipeline": replace(_SD, steps=4, guidance=8.0, sampler="lcm"),
    "FluxPipeline": _FLUX,
    "FluxFillPipeline": replace(_FLUX, name="Flux.1 Fill", guidance=30.0, pipelines={INPAINT: "FluxFillPipeline"}, controls={},
                                reference=False),
    "FluxKontextPipeline": replace(_FLUX, name="Flux.1 Kontext", edits=True, controls={},
                                   pipelines={**_both("FluxKontextPipeline"), INPAINT: "FluxKontextInpaintPipeline"}),
    "Flux2KleinPipeline": _KLEIN,
    "ZImagePipeline": Family(
        "Z-Image", 1024, 28, 4.0, "euler", packing=2, pipelines=_calls("ZImage"), several=False, unguided=0.0,
        controls={"ZImageControlNetModel": {TEXT_TO_IMAGE: "ZImageControlNetPipeline"}}),
    "QwenImagePipeline": _QWEN,
    "QwenImageEditPipeline": replace(_QWEN, name="Qwen-Image-Edit", edits=True, controls={}, pipelines={
        IMAGE_TO_IMAGE: "QwenImageEditPipeline", INPAINT: "QwenImageEditInpaintPipeline"}),
    "QwenImageEditPlusPipeline": replace(_QWEN, name="Qwen-Image-Edit Plus", edits=True, controls={}, pipelines={
        IMAGE_TO_IMAGE: "QwenImageEditPlusPipeline"}),
    "SanaPipeline": _SANA,
    "SanaSprintPipeline": replace(_SANA, name="SANA-Sprint", steps=2, negative=False, controls={}, pipelines={
        TEXT_TO_IMAGE: "SanaSprintPipeline", IMAGE_TO_IMAGE: "SanaSprintImg2ImgPipeline"}),
}
_OTHER = Family("", 1024, 25, 5.0, own_sampler=False)


def family_of(pipeline: str, unet: Mapping[str, Any] | None = None, transformer: Mapping[str, Any] | None = None,
              scheduler: Mapping[str, Any] | None = None, distilled: bool = False) -> Family:
    """The family of a model: from its pipeline's class, the configs of its denoiser and scheduler, and what its index says of
    being `distilled`. An unknown class is a family of its own, which paints from words. Few-step members of UNet families are told by
    `few_steps.configured`."""
    family = _by_class(pipeline)
    if unet is not None and not family.transformer:
        family = _unet_member(family, unet)
    if family.name == "Flux.1" and transformer is not None and transformer.get("guidance_embeds") is False:
        family = replace(family, name="Flux.1 schnell", steps=4, guidance=1.0, guides=False)
    if family.name == "Flux.2 Klein" and distilled:
        family = replace(family, steps=4, guidance=1.0, guides=False)
    if family.name == "Z-Image" and _number((scheduler or {}).get("shift")) == 3.0:  # Turbo's; the teacher's is 6
        family = replace(family, name="Z-Image Turbo", steps=9, guidance=1.0)
    return family


def _by_class(pipeline: str) -> Family:
    found = FAMILIES.get(pipeline) or next((family for family in FAMILIES.values() if pipeline in _classes(family)), None)
    return found or replace(_OTHER, name=pipeline, pipelines={TEXT_TO_IMAGE: pipeline})


def _classes(family: Family) -> set[str]:
    return {cls for calls in (family.pipelines, *family.controls.values()) for cls in calls.values()}


def _unet_member(family: Family, unet: Mapping[str, Any]) -> Family:
    if family.name == "SD 1.5" and unet.get("cross_attention_dim") == 1024:
        family = replace(family, name="SD 2", reference=False)  # the same class; only the text encoder's width tells
    if _number(unet.get("in_channels")) == 9:  # it sees the mask and what lies round it
        family = replace(family, name=f"{family.name} Inpaint", pipelines={INPAINT: family.pipelines[INPAINT]}, controls={
            net: {INPAINT: calls[INPAINT]} for net, calls in family.controls.items()})
    return family


def _number(value: Any) -> float | None:
    return float(value) if type(value) in (int, float) and abs(value) < 1e9 else None


# ---- ControlNets ---------------------------------------------------------------------------------------------------

_NETS = {"ControlNetUnionModel": "SDXL", "FluxControlNetModel": "Flux.1", "SD3ControlNetModel": "SD 3.5",
         "QwenImageControlNetModel": "Qwen-Image", "ZImageControlNetModel": "Z-Image", "SanaControlNetModel": "SANA"}
UNETS = ("ControlNetModel", "ControlNetUnionModel")  # for models whose denoiser is a UNet
CONTROLNETS = ("ControlNetModel", *_NETS)
# What union ControlNets call the kinds of control picture (`parts.CONTROL_KINDS`): InstantX's and Shakker's for Flux.1, xinsir's
# for SDXL, of which the last number needs the larger edition.
_FLUX_MODES = {"canny": 0, "lines": 0, "image": 1, "depth": 2, "blur": 3}
_SDXL_MODES = {"depth": 1, "lines": 3, "canny": 3, "normal": 4, "segmentation": 5, "blur": 6, "image": 6}


@dataclass(frozen=True)
class ControlNet:
    """What the config of a ControlNet says: its class, the `family` that it steers, and `modes`, the number of each kind of
    control picture where it reads several; empty where it reads one, or tells them apart by itself."""

    cls: str
    family: str
    modes: Mapping[str, int] = field(default_factory=dict)

    def fits(self, family: Family) -> bool:
        """Whether it was made for models of `family`, or of a member of it."""
        return self.cls in family.controls and (family.name == self.family or family.name.startswith(f"{self.family} "))


def controlnet_of(config: Mapping[str, Any]) -> ControlNet | None:
    """The ControlNet with this config; None for a config of something else, and for ControlNets that inpaint by themselves."""
    cls = config.get("_class_name")
    if not isinstance(cls, str):
        return None
    if cls == "ControlNetModel":
        wide = config.get("addition_embed_type") == "text_time" or config.get("cross_attention_dim") == 2048
        return ControlNet(cls, "SDXL" if wide else "SD 2" if config.get("cross_attention_dim") == 1024 else "SD 1.5")
    if cls not in _NETS or _number(config.get("extra_conditioning_channels")) or _number(config.get("extra_condition_channels")):
        return None
    modes: dict[str, int] = {}
    if cls == "FluxControlNetModel" and config.get("num_mode"):
        modes = _FLUX_MODES
    elif cls == "ControlNetUnionModel":
        count = _number(config.get("num_control_type")) or 6
        modes = {kind: mode for kind, mode in _SDXL_MODES.items() if mode < count}
    return ControlNet(cls, _NETS[cls], modes)
