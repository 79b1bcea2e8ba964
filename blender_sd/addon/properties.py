"""`Scene.sd`: the settings of the panel, saved with the file. Labels, tips and limits come from `protocol.request`.

(No `from __future__ import annotations` here: Blender reads properties from the annotations themselves.)
"""
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import bpy
from bpy.props import BoolProperty, CollectionProperty, EnumProperty, FloatProperty, IntProperty, PointerProperty, StringProperty

from .. import api, catalogue, scene, studio
from ..protocol import parts
from ..protocol.errors import SDError, SourceUnusable
from ..protocol.request import IMAGE_TO_IMAGE, INPAINT, MAKE_SEAMLESS, OUTPAINT, TEXT_TO_IMAGE, UPSCALE, Request, default, setting
from ..protocol.samplers import SAMPLERS
from ..protocol.wording import lora_tag
from .controls import STARTER, SD_PG_control
from .declared import declared, rule_of

TASKS = (
    ("TEXT", "Text", "Paint what the prompt says, from nothing else", "FILE_TEXT", 0),
    ("TEXTURE", "Texture", "Repaint the image of the active texture slot after the prompt", "NODE_TEXTURE", 1),
    ("RENDER", "Render", "Repaint the render or the 3D View after the prompt", "RENDER_STILL", 2),
)
TARGETS = (  # in lower case: what `scene.freeze_target` calls them
    ("NEW", "New Image", "Make a new image and leave the scene as it is", "IMAGE_DATA", 0),
    ("MATERIAL", "Material's Base Color", "Put the image into the base color of the active object's material; "
     "material, shader, UV map and image node are made where missing", "MATERIAL", 1),
    ("SLOT", "Active Image Slot", "Put the image into the active image texture node, paint slot or Image Editor", "NODE_TEXTURE", 2),
)
SOURCES = (
    ("RENDER", "Render Result", "The last render, as it is shown", "RENDER_RESULT", 0),
    ("CAMERA", "Camera", "A fresh render from the scene's camera", "CAMERA_DATA", 1),
    ("VIEWPORT", "3D View", "The 3D View exactly as you see it", "VIEW3D", 2),
)
AXES = tuple((name, setting(name).label, setting(name).tip, number) for number, name in enumerate(parts.AXES))
EXAMPLES = {"steps": "8, 20, 40", "guidance": "3, 5, 8", "sampler": "Euler, DPM++ 2M", "strength": "0.3, 0.5, 0.7", "seed": "1, 2, 3",
            "variation_strength": "0.1, 0.2, 0.3", "refine_strength": "0.2, 0.35, 0.5"}  # what an axis begins with
NO_AXIS = ("none", "Nothing", "One row of pictures", len(AXES))
GROWTH = (
    ("SIDES", "By Pixels", "Add so many pixels on each side", 0),
    ("ASPECT", "To Aspect", "Add what it takes to reach a shape", 1),
)
MASKS = (  # as `api.inpaint` calls them, but for the painted one
    ("PAINTED", "Painted Mask", "The white parts of the mask that belongs to the image", "BRUSH_DATA", 0),
    ("FACES", "Selected Faces", "The UV area of the active object's selected faces", "FACESEL", 1),
    ("ALPHA", "Image Alpha", "The transparent parts of the image, which become opaque", "IMAGE_ALPHA", 2),
)
_TILING = {"none": ("Off", "The picture does not repeat"), "x": ("X", "Repeats without a seam from left to right"),
           "y": ("Y", "Repeats without a seam from bottom to top"), "xy": ("Both", "Repeats without a seam in both directions")}
TILINGS = [(key, *_TILING[key], number) for number, key in enumerate(setting("tiling").choices)]


def _starter_default(name: str) -> Any:
    """What suits the built-in model, so that the first click gives its best picture; the request's default without one."""
    of_model = {"width": "default_width", "height": "default_height", "steps": "steps", "guidance": "guidance", "sampler": "sampler",
                "tile": "default_width"}
    try:
        return getattr(catalogue.find_model(STARTER), of_model[name]) if name in of_model else default(name)
    except SDError:
        return default(name)


def _setting(kind: Callable[..., Any], name: str, **extra: Any) -> Any:
    """The Blender property of the request field `name`."""
    return declared(kind, Request, name, **{"default": _starter_default(name), **extra})


# ---- the model menu ------------------------------------------------------------------------------------------------
# What is saved is the model's id, a text; the menu is a view of it. An enum's number would name another model as soon
# as a folder is added.

_model_items: list[tuple[str, str, str, int]] = []  # kept: Blender does not hold the strings of a dynamic enum


def refresh_model_items() -> None:
    """Reads the models anew into the menu. Reads folders: never called while drawing."""
    _model_items[:] = [(info.id, info.name, info.text or info.folder, index) for index, info in enumerate(catalogue.models())]


def _items_with(model: str) -> list[tuple[str, str, str, int]]:
    if not any(item[0] == model for item in _model_items):
        label = bpy.path.display_name_from_filepath(model) or model
        if studio.refusal(model):
            label = f"{label} (not allowed)"
        elif model != STARTER:
            label = f"{label} (not in the model folders)"
        _model_items.append((model, label, model, len(_model_items)))
    return _model_items


def _get_model(self: "SD_PG_settings") -> int:
    return next(item[3] for item in _items_with(self.model) if item[0] == self.model)


def _set_model(self: "SD_PG_settings", number: int) -> None:
    self.model = next(item[0] for item in _model_items if item[3] == number)
    self.suit_model()


class SD_PG_settings(bpy.types.PropertyGroup):
    """One scene's settings."""

    task: EnumProperty(name="Task", description="What the picture is made from", items=TASKS, default="TEXT")
    prompt: _setting(StringProperty, "prompt", maxlen=8192)
    prompt_text: PointerProperty(type=bpy.types.Text, name="Text Block", description=(
        "The text block that holds the prompt. Empty it to type into a field again"))
    negative: _setting(StringProperty, "negative", maxlen=8192)
    style: StringProperty(name="Style", description="The style whose words go round the prompt when you paint; empty for none")
    model: _setting(StringProperty, "model")
    model_choice: EnumProperty(name=setting("model").label, description=setting("model").tip,
                               items=lambda self, _context: _items_with(self.model), get=_get_model, set=_set_model)
    width: _setting(IntProperty, "width", subtype="PIXEL", step=64)
    height: _setting(IntProperty, "height", subtype="PIXEL", step=64)
    steps: _setting(IntProperty, "steps")
    guidance: _setting(FloatProperty, "guidance", step=50, precision=1)
    sampler: _setting(EnumProperty, "sampler", items=[(s.id, s.label, s.tip, i) for i, s in enumerate(SAMPLERS.values())])
    seed: _setting(IntProperty, "seed")
    random_seed: BoolProperty(name="Random", default=True, description=(
        "Choose a new seed at every click. The seed shown is the last one used: switch this off to keep it"))
    count: _setting(IntProperty, "count")
    tiling: _setting(EnumProperty, "tiling", items=TILINGS)
    refine_scale: _setting(FloatProperty, "refine_scale", step=50, precision=2)
    refine_strength: _setting(FloatProperty, "refine_strength", subtype="FACTOR")
    upscale_scale: FloatProperty(name="Scale", default=2.0, min=1.0, max=8.0, soft_max=4.0, step=50, precision=2, description=(
        "How many times as wide and as high the result is"))
    upscale_strength: _setting(FloatProperty, "refine_strength", subtype="FACTOR")
    tile: _setting(IntProperty, "tile", subtype="PIXEL", step=64)
    upscaler: StringProperty(name=setting("upscaler").label, search=lambda self, context, text: [one.name for one in catalogue.upscalers()],
                             description="What enlarges before the model refines: an upscaler's name from the model folders, or its "
                             "file or folder. Empty: plain resampling")
    upscaler_noise: _setting(IntProperty, "upscaler_noise")
    target: EnumProperty(name="Target", description="Where the finished picture goes", items=TARGETS, default="NEW")
    slot_strength: _setting(FloatProperty, "strength", subtype="FACTOR")
    render_strength: _setting(FloatProperty, "strength", subtype="FACTOR")
    render_source: EnumProperty(name="Source", description="What is restyled", items=SOURCES, default="RENDER")
    camera_background: BoolProperty(name="Set as Camera Background", default=False, description=(
        "Show the result behind the scene when looking through the camera"))

    variation_strength: _setting(FloatProperty, "variation_strength", subtype="FACTOR")
    variation_seed: _setting(IntProperty, "variation_seed")
    use_grid: BoolProperty(name="Grid", default=False, description=(
        "Make a picture for each value below, and a labelled contact sheet of them all"))
    x_setting: EnumProperty(name="Across", description="What changes from column to column", items=AXES, default="steps",
                            update=lambda self, _context: self.suggest_values("x"))
    x_values: StringProperty(name="Values", description=rule_of(parts.Axis, "values").tip, default=EXAMPLES["steps"])
    y_setting: EnumProperty(name="Down", description="What changes from row to row", items=(*AXES, NO_AXIS), default="none",
                            update=lambda self, _context: self.suggest_values("y"))
    y_values: StringProperty(name="Values", description=rule_of(parts.Axis, "values").tip)

    use_reference: BoolProperty(name="Use Reference", default=False, description=(
        "Take over the look of an image, with an IP-Adapter from the model folders"))
    reference_image: PointerProperty(type=bpy.types.Image, name="Image", description="The image whose look is taken over")
    ip_adapter: StringProperty(
        name=setting("ip_adapter").label, search=lambda self, context, text: [one.name for one in catalogue.ip_adapters()],
        description="The IP-Adapter that reads the image: a name from the model folders, or a file")
    ip_adapter_weight: _setting(FloatProperty, "ip_adapter_weight")

    controls: CollectionProperty(type=SD_PG_control, name="Controls", description="The ControlNets that steer what is painted")
    control_index: IntProperty(name="Selected Control", description="The control whose settings are shown")

    mask_source: EnumProperty(name="Mask", description="What is painted anew", items=MASKS, default="PAINTED")
    inpaint_strength: _setting(FloatProperty, "strength", subtype="FACTOR", default=1.0)
    mask_grow: _setting(IntProperty, "mask_grow", subtype="PIXEL")
    mask_feather: _setting(IntProperty, "mask_feather", subtype="PIXEL")
    mask_full_res: _setting(BoolProperty, "mask_full_res")
    mask_context: _setting(IntProperty, "mask_context", subtype="PIXEL")
    expand_to: EnumProperty(name="Grow", description="How far Outpaint lets the picture grow", items=GROWTH, default="SIDES")
    aspect_x: FloatProperty(name="Aspect X", default=16.0, min=0.1, max=100.0, precision=2, description=(
        "Width of the shape that the picture grows to, in any unit; it grows alike on both sides"))
    aspect_y: FloatProperty(name="Y", default=9.0, min=0.1, max=100.0, precision=2, description=(
        "Height of the shape that the picture grows to, in the same unit"))
    expand_left: _setting(IntProperty, "expand_left", subtype="PIXEL", step=16)
    expand_right: _setting(IntProperty, "expand_right", subtype="PIXEL", step=16)
    expand_top: _setting(IntProperty, "expand_top", subtype="PIXEL", step=16)
    expand_bottom: _setting(IntProperty, "expand_bottom", subtype="PIXEL", step=16)
    band: _setting(FloatProperty, "band", subtype="FACTOR")
    seamless_strength: _setting(FloatProperty, "strength", subtype="FACTOR", default=0.75)

    def words(self) -> str:
        """The prompt: the text block's where one is chosen, or else the field's."""
        return scene.prompt_in(self.prompt_text) if self.prompt_text is not None else self.prompt.strip()

    def suit_model(self) -> None:
        """Takes over the size, steps, guidance and sampler that suit the chosen model."""
        try:
            info = catalogue.find_model(self.model)
        except SDError:
            return  # the folder is gone; the click says so
        self.width, self.height = info.default_width, info.default_height
        self.tile = min(max(info.default_width, 64), 4096)
        self.steps, self.guidance, self.sampler = info.steps, info.guidance, info.sampler

    def order(self, without: str = "") -> dict[str, Any]:
        """The keywords that the API's orders share, but for `without`; the seed is left to the caller."""
        names = ("negative", "steps", "guidance", "sampler", "model", "count", "tiling", "variation_strength", "variation_seed", "style")
        return {**{name: getattr(self, name) for name in names if name != without}, "axes": self.axes(), **self.reference()}

    def reference(self) -> dict[str, Any]:
        """The reference image's keywords of the API; none where it is off. Raises SDError where something is missing."""
        if not self.use_reference:
            return {}
        if self.reference_image is None or not self.ip_adapter.strip():
            raise SourceUnusable("The reference lacks its image or its IP-Adapter.",
                                 "Choose both in the Reference panel, or switch it off.")
        return {"reference": self.reference_image, "ip_adapter": self.ip_adapter, "ip_adapter_weight": self.ip_adapter_weight}

    def suggest_values(self, side: str) -> None:
        """Values that suit the axis, where those that stand there are only another one's suggestion."""
        if getattr(self, f"{side}_values") in ("", *EXAMPLES.values()):
            setattr(self, f"{side}_values", EXAMPLES.get(getattr(self, f"{side}_setting"), ""))

    def axes(self) -> list[tuple[str, str]]:
        """The grid's axes as the API takes them; none where it is off."""
        down = [(self.y_setting, self.y_values)] if self.y_setting != "none" else []
        return [(self.x_setting, self.x_values), *down] if self.use_grid else []

    def steers(self) -> list[api.Steer]:
        """The controls that are on, as the API takes them. Raises SDError where something is missing."""
        return [control.steer() for control in self.controls if control.enabled]

    def active_control(self) -> SD_PG_control | None:
        """The control that is selected in the list."""
        return self.controls[self.control_index] if 0 <= self.control_index < len(self.controls) else None

    def growth(self) -> dict[str, Any]:
        """How Outpaint lets the picture grow, in the keywords of `api.outpaint`."""
        if self.expand_to == "ASPECT":
            return {"aspect": (self.aspect_x, self.aspect_y)}
        return {"left": self.expand_left, "right": self.expand_right, "top": self.expand_top, "bottom": self.expand_bottom}

    def fill_from(self, request: Request) -> None:
        """Takes over everything that made a picture, so that the next click makes it again."""
        for name in ("negative", "model", "width", "height", "steps", "guidance", "sampler", "seed", "count", "tiling",
                     "tile", "refine_scale", "refine_strength", "upscaler", "upscaler_noise", "variation_strength", "variation_seed"):
            setattr(self, name, getattr(request, name))
        names = {lora.file: lora.name for lora in catalogue.loras()} if request.loras else {}
        tags = [lora_tag(names.get(lora.file, lora.file), lora.weight) for lora in request.loras]
        self.prompt = " ".join([request.prompt, *tags]).strip()
        self.prompt_text = None
        self.style = ""  # whose words are in the prompt already
        self.random_seed = False
        self.use_reference = bool(request.ip_adapter)
        if request.reference:
            with suppress(SDError):  # the copy is gone: the image that is chosen stays
                self.reference_image = api.kept_image("reference", request.reference)
        self.ip_adapter, self.ip_adapter_weight = request.ip_adapter, request.ip_adapter_weight
        self.use_grid = bool(request.axes)
        for side, axis in zip("xy", request.axes, strict=False):
            setattr(self, f"{side}_setting", axis.setting)
            setattr(self, f"{side}_values", axis.values)
        if len(request.axes) < 2:
            self.y_setting = "none"
        self.controls.clear()
        for control in request.controls:
            self.controls.add().fill_from(control)
        self.control_index = 0
        if request.task in (TEXT_TO_IMAGE, IMAGE_TO_IMAGE):
            was_text = self.task == "TEXT"
            self.task = "TEXT" if request.task == TEXT_TO_IMAGE else "TEXTURE" if was_text else self.task
        if request.task == OUTPAINT:
            self.expand_to = "SIDES"  # what an aspect came to
        for name in _OF_TASK.get(request.task, ()):
            setattr(self, name, getattr(request, name))
        for name in _STRENGTHS.get(request.task, ()):
            setattr(self, name, request.strength)


_STRENGTHS = {IMAGE_TO_IMAGE: ("slot_strength", "render_strength"), UPSCALE: ("upscale_strength",), INPAINT: ("inpaint_strength",),
              MAKE_SEAMLESS: ("seamless_strength",)}
_OF_TASK = {INPAINT: ("mask_grow", "mask_feather", "mask_full_res", "mask_context"), MAKE_SEAMLESS: ("band",),
            OUTPAINT: ("expand_left", "expand_right", "expand_top", "expand_bottom")}

CLASSES = (SD_PG_settings,)


def register() -> None:
    bpy.types.Image.sd_mask = PointerProperty(type=bpy.types.Image, name="Mask", description=(
        "The image whose white parts Inpaint paints anew"))
    bpy.types.Scene.sd = PointerProperty(type=SD_PG_settings, name="Stable Diffusion", description="Settings of the SD tab")


def unregister() -> None:
    del bpy.types.Scene.sd
    del bpy.types.Image.sd_mask
    _model_items.clear()
