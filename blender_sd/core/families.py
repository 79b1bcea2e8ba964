"""List the model families and what each can do.

This is the one table that the engine, the library, the panels and the README follow. Classes are named by strings, so
that the panels can read the table without torch. A family is recognised by the pipeline class in model_index.json and
the configs of its parts, never by a name that a person chose.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .tasks import IMAGE_TO_IMAGE, INPAINT, TASKS, TEXT_TO_IMAGE, UPSCALE
from .samplers import DEFAULT_SAMPLER

# parts that an index may name and nothing here uses
UNNEEDED = ("safety_checker", "feature_extractor", "image_encoder")
Calls = Mapping[str, str]  # kind of call -> diffusers' class for it


@dataclass(frozen=True)
class Family:
    """Describe a family, or a member of one that can do other things.

    Attributes:
        name: The name that people see.
        side: The best side length in pixels.
        steps: The best number of steps.
        guidance: The best guidance.
        sampler: The id of the best sampler.
        pipelines: diffusers' class for each kind of call.
        controls: For each ControlNet class, diffusers' class for each kind of call that it can steer.
        several: Whether several ControlNets can steer one picture.
        edits: Whether it follows an instruction for a picture, so that strength means nothing and nothing can be
            refined.
        packing: Latent pixels per side that the transformer takes as one token, where its config does not tell.
        own_sampler: Whether it works with its own sampler only.
        transformer: Whether its denoiser is a transformer, which cannot wrap by padding.
        loras: Whether it takes LoRAs.
        embeddings: Whether it takes textual inversions.
        reference: Whether an IP-Adapter can show it a reference image.
        without_reference: Those of its pipeline classes that take no reference image all the same.
        weights: Whether it takes weighted words.
        negative: Whether it takes a negative prompt.
        guides: Whether it takes guidance.
        clip_skip: Whether its text encoders can be read at an earlier layer (Clip Skip).
        ends_early: Whether the model's own way stops a layer before the end, so that A1111 ignores its "Clip skip".
        unguided: The value of diffusers' `guidance_scale` that turns guidance off.
    """

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
    without_reference: tuple[str, ...] = ()
    weights: bool = False
    negative: bool = True
    guides: bool = True
    clip_skip: bool = False
    ends_early: bool = False
    unguided: float = 1.0

    @property
    def strength(self) -> bool:
        """Whether it can depart from an image by a strength."""
        return IMAGE_TO_IMAGE in self.pipelines and not self.edits

    @property
    def takes_samplers(self) -> bool:
        """Whether it works with other samplers than its own."""
        return not self.own_sampler

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that it can do."""
        return tuple(name for name, task in TASKS.items()
                     if task.call in self.pipelines and not (self.edits and name == UPSCALE))

    def refusal(self, task: str, controlnet: str | None = None, reference: bool = False) -> str:
        """Return why it cannot do a task, as a sentence for people; "" if it can.

        Args:
            task: The name of one of `tasks.TASKS`.
            controlnet: The class of the ControlNets that steer it, or None.
            reference: Whether a reference image is used.
        """
        if task not in TASKS:  # such as an object from all sides, which is painted in whatever way the family can
            return ""
        if task not in self.tasks:
            if set(self.pipelines) == {INPAINT}:
                return f"{self.name} models can only inpaint."
            why = " edit by instruction and" if self.edits and task == UPSCALE else ""
            return f"{self.name} models{why} cannot {TASKS[task].doing}."
        if controlnet is not None and (task == UPSCALE or TASKS[task].call not in self.controls.get(controlnet, {})):
            return f"With a ControlNet, {self.name} models cannot {TASKS[task].doing}."
        if reference and not self.reference:
            return f"Reference images do not work with {self.name} models."
        if reference and controlnet is not None and self.controls[controlnet][
                TASKS[task].call] in self.without_reference:
            return f"With a ControlNet and a reference image, {self.name} models cannot {TASKS[task].doing}."
        return ""

    def clip_skip_of(self, webui: int) -> int:
        """Return our Clip Skip for the value in a text of A1111's web UI."""
        return 1 if self.ends_early else max(1, webui)

    def steers(self, task: str) -> bool:
        """Return whether any ControlNet can steer `task`."""
        return any(not self.refusal(task, controlnet) for controlnet in self.controls)


def _calls(stem: str, *, end: str = "Pipeline") -> Calls:
    return {TEXT_TO_IMAGE: f"{stem}{end}", IMAGE_TO_IMAGE: f"{stem}Img2Img{end}", INPAINT: f"{stem}Inpaint{end}"}


def _both(pipeline: str) -> Calls:
    """Return the calls of a class that takes a picture or none."""
    return {TEXT_TO_IMAGE: pipeline, IMAGE_TO_IMAGE: pipeline}


_UNET: dict[str, Any] = {"own_sampler": False, "transformer": False, "embeddings": True, "weights": True,
                         "clip_skip": True}
_SD = Family("SD 1.5", 512, 20, 7.0, pipelines=_calls("StableDiffusion"),
             controls={"ControlNetModel": _calls("StableDiffusionControlNet")}, reference=True, **_UNET)
_FLUX = Family("Flux.1", 1024, 28, 3.5, "euler", packing=2, negative=False, pipelines=_calls("Flux"),
               controls={"FluxControlNetModel": _calls("FluxControlNet")}, reference=True,
               without_reference=("FluxControlNetImg2ImgPipeline", "FluxControlNetInpaintPipeline"))
_QWEN = Family("Qwen-Image", 1024, 30, 4.0, "euler", packing=2, pipelines=_calls("QwenImage"), several=False,
               controls={"QwenImageControlNetModel": {TEXT_TO_IMAGE: "QwenImageControlNetPipeline"}})
_SANA = Family("SANA", 1024, 20, 4.5, pipelines={TEXT_TO_IMAGE: "SanaPipeline"}, several=False,
               controls={"SanaControlNetModel": {TEXT_TO_IMAGE: "SanaControlNetPipeline"}})
_KLEIN = Family("Flux.2 Klein", 1024, 28, 4.0, "euler", packing=2, negative=False, edits=True,
                pipelines={**_both("Flux2KleinPipeline"), INPAINT: "Flux2KleinInpaintPipeline"})

# By the pipeline class in a model's index; the other classes that a family names belong to it as well. Steps and
# guidance are the defaults of diffusers' pipelines and the model cards. Flow-matching families have a scheduler of
# their own, an Euler method.
FAMILIES: dict[str, Family] = {
    "StableDiffusionPipeline": _SD,
    "StableDiffusionXLPipeline": Family(
        "SDXL", 1024, 25, 6.0, pipelines=_calls("StableDiffusionXL"), reference=True, ends_early=True, **_UNET,
        controls={"ControlNetModel": _calls("StableDiffusionXLControlNet"),
                  "ControlNetUnionModel": _calls("StableDiffusionXLControlNetUnion")}),
    "StableDiffusion3Pipeline": Family(
        "SD 3.5", 1024, 28, 4.5, "euler", pipelines=_calls("StableDiffusion3"), reference=True,
        controls={"SD3ControlNetModel": {TEXT_TO_IMAGE: "StableDiffusion3ControlNetPipeline"}}),
    "LatentConsistencyModelPipeline": replace(_SD, steps=4, guidance=8.0, sampler="lcm"),
    "FluxPipeline": _FLUX,
    "FluxFillPipeline": replace(_FLUX, name="Flux.1 Fill", guidance=30.0, pipelines={INPAINT: "FluxFillPipeline"},
                                controls={},
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
# diffusers' classes for models of other families that paint from words alone.
OTHER_PIPELINES = (
    "AuraFlowPipeline", "ChromaPipeline", "CogView3PlusPipeline", "CogView4Pipeline", "Flux2Pipeline",
    "HunyuanDiTPipeline", "Kandinsky3Pipeline", "LuminaPipeline", "Lumina2Pipeline", "OvisImagePipeline",
    "PixArtAlphaPipeline", "PixArtSigmaPipeline", "PRXPipeline", "QwenImage21Pipeline",
    "StableDiffusionPAGPipeline", "StableDiffusionXLPAGPipeline")


def family_of(pipeline: str, unet: Mapping[str, Any] | None = None, transformer: Mapping[str, Any] | None = None,
              scheduler: Mapping[str, Any] | None = None, distilled: bool = False) -> Family:
    """Return the family of a model.

    Few-step members of the UNet families are recognised by `few_steps.configured` instead.

    Args:
        pipeline: The pipeline class in model_index.json. An unknown class is a family of its own that paints from text.
        unet: The config of the UNet, if it has one.
        transformer: The config of the transformer, if it has one.
        scheduler: The config of the scheduler.
        distilled: Whether model_index.json says that the model is distilled.
    """
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


def has_prediction(scheduler: str, config: Mapping[str, Any]) -> bool:
    """Return whether the prediction type of a model with this scheduler can be chosen, which flow matching rules
    out."""
    flow = "FlowMatch" in scheduler or config.get("prediction_type") == "flow_prediction" or config.get(
        "use_flow_sigmas")
    return not flow and "SCM" not in scheduler


def is_known(pipeline: str) -> bool:
    """Return whether models of this pipeline class can be used."""
    known = {*FAMILIES, *OTHER_PIPELINES}
    return pipeline in known.union(*map(_classes, FAMILIES.values()))


def _by_class(pipeline: str) -> Family:
    """Return the family that lists the pipeline class, or a new one for an unknown class."""
    if pipeline in FAMILIES:
        return FAMILIES[pipeline]
    unlisted = replace(_OTHER, name=pipeline, pipelines={TEXT_TO_IMAGE: pipeline})
    return next((family for family in FAMILIES.values() if pipeline in _classes(family)), unlisted)


def _classes(family: Family) -> set[str]:
    return {cls for calls in (family.pipelines, *family.controls.values()) for cls in calls.values()}


def _unet_member(family: Family, unet: Mapping[str, Any]) -> Family:
    if family.name == "SD 1.5" and unet.get("cross_attention_dim") == 1024:
        # the same class; only the text encoder's width tells
        family = replace(family, name="SD 2", reference=False, ends_early=True)
    if _number(unet.get("in_channels")) == 9:  # the mask and the masked image are inputs too
        family = replace(family, name=f"{family.name} Inpaint", pipelines={INPAINT: family.pipelines[INPAINT]},
                         controls={
            net: {INPAINT: calls[INPAINT]} for net, calls in family.controls.items()})
    return family


def _number(value: Any) -> float | None:
    return float(value) if type(value) in (int, float) and abs(value) < 1e9 else None


# ---- ControlNets ---------------------------------------------------------------------------------------------------

_NETS = {"ControlNetUnionModel": "SDXL", "FluxControlNetModel": "Flux.1", "SD3ControlNetModel": "SD 3.5",
         "QwenImageControlNetModel": "Qwen-Image", "ZImageControlNetModel": "Z-Image", "SanaControlNetModel": "SANA"}
UNETS = ("ControlNetModel", "ControlNetUnionModel")  # ControlNets of models whose denoiser is a UNet
CONTROLNETS = ("ControlNetModel", *_NETS)
# The number that union ControlNets give each kind of control picture (`parts.CONTROL_KINDS`): InstantX's and Shakker's
# for Flux.1, xinsir's for SDXL (the last number needs its larger edition).
_FLUX_MODES = {"canny": 0, "lines": 0, "image": 1, "depth": 2, "blur": 3}
_SDXL_MODES = {"depth": 1, "lines": 3, "canny": 3, "normal": 4, "segmentation": 5, "blur": 6, "image": 6}


@dataclass(frozen=True)
class ControlNet:
    """Describe a ControlNet by its config.

    Attributes:
        cls: Its class in diffusers.
        family: The name of the family that it steers.
        modes: The number of each kind of control picture if it reads several by number; otherwise empty.
    """

    cls: str
    family: str
    modes: Mapping[str, int] = field(default_factory=dict)

    def fits(self, family: Family) -> bool:
        """Return whether it was made for models of `family`, or of a member of it."""
        return self.cls in family.controls and (family.name == self.family or family.name.startswith(f"{self.family} "))


def controlnet_of(config: Mapping[str, Any]) -> ControlNet | None:
    """Return the ControlNet with this config, or None.

    None is also returned for ControlNets that inpaint by themselves.
    """
    cls = config.get("_class_name")
    if not isinstance(cls, str):
        return None
    if cls == "ControlNetModel":
        wide = config.get("addition_embed_type") == "text_time" or config.get("cross_attention_dim") == 2048
        return ControlNet(cls, "SDXL" if wide else "SD 2" if config.get("cross_attention_dim") == 1024 else "SD 1.5")
    if (
        cls not in _NETS
        or _number(config.get("extra_conditioning_channels"))
        or _number(config.get("extra_condition_channels"))
    ):
        return None
    modes: dict[str, int] = {}
    if cls == "FluxControlNetModel" and config.get("num_mode"):
        modes = _FLUX_MODES
    elif cls == "ControlNetUnionModel":
        count = _number(config.get("num_control_type")) or 6
        modes = {kind: mode for kind, mode in _SDXL_MODES.items() if mode < count}
    return ControlNet(cls, _NETS[cls], modes)
