"""Define `Scene.sd`: the panel's settings, saved with the file. Labels, tips and limits come from `core.request`.

(No `from __future__ import annotations` here: Blender reads properties from the annotations themselves.)
"""
from contextlib import suppress
from typing import Any

import bpy
from bpy.props import (
    BoolProperty, BoolVectorProperty, CollectionProperty, EnumProperty, FloatProperty, IntProperty, PointerProperty,
    StringProperty,
)

from .. import scene
from ..calls import locating, models, recalling
from ..calls.arguments import ControlInput, RegionInput
from ..calls.runtime import runtime
from ..core import parts
from ..core.common_settings import MAX_SEED
from ..core.declarations import COMMON, Declared, find, in_group, used_by
from ..core.errors import InvalidRequest, SDError, SourceUnusable
from ..core.prompt_choices import lora_tag
from ..core.request import PANEL_SEED, Request
from ..core.settings import PANEL
from ..core.tasks import KNOWN, SIDES, TASKS as ALL_TASKS, ImageToImage, Inpaint, Outpaint, TextToImage, TextureObject
from . import model_choices
from .animation import SD_PG_animation
from .controls import STARTER, SD_PG_control
from .regions import SD_PG_region
from .declared import declared, exact, exact_values, fill, rule_of
from .task_prompts import Words
from .texture_choices import TEXTURE_FROM, TEXTURE_MASKS

TASKS = (
    ("TEXT", "Text", "Paint what the prompt says, from nothing else", "FILE_TEXT", 0),
    ("TEXTURE", "Texture", "Repaint the image of the active texture slot after the prompt", "NODE_TEXTURE", 1),
    ("RENDER", "Render", "Repaint the render or the 3D View after the prompt", "RENDER_STILL", 2),
)
TARGETS = (  # in lower case: what `scene.freeze_target` calls them
    ("NEW", "New Image", "Make a new image and leave the scene as it is", "IMAGE_DATA", 0),
    ("MATERIAL", "Material's Base Color", "Put the image into the base color of the active object's material; "
                                          "material, shader, UV map and image node are made where missing",
                                          "MATERIAL", 1),
    ("SLOT", "Active Image Slot",
             "Put the image into the active image texture node, paint slot or Image Editor", "NODE_TEXTURE", 2),
    ("AUTO", "Automatic", "Put the image into the base color of the selected mesh; material, shader, UV map and image "
                          "node are made where missing. Where no mesh is selected, make a new image and open it",
                          "MESH_DATA", 3),
)
SOURCES = (
    ("RENDER", "Render Result", "The last render, as it is shown", "RENDER_RESULT", 0),
    ("CAMERA", "Camera", "A fresh render from the scene's camera", "CAMERA_DATA", 1),
    ("VIEWPORT", "3D View", "The 3D View exactly as you see it", "VIEW3D", 2),
)
AXES = tuple((name, find(name).setting.label, find(name).setting.tip, find(name).setting.axis) for name in parts.AXES)
EXAMPLES = {name: find(name).setting.example for name in parts.AXES if find(name).setting.example}
NO_AXIS = ("none", "Nothing", "One row of pictures", 8)  # between the axes' numbers: files save it
GROWTH = (
    ("SIDES", "By Pixels", "Add so many pixels on each side", 0),
    ("ASPECT", "To Aspect", "Add what it takes to reach a shape", 1),
)
MASKS = (  # named as in `inpaint`, except the painted mask
    ("PAINTED", "Painted Mask", "The white parts of the mask that belongs to the image", "BRUSH_DATA", 0),
    ("FACES", "Selected Faces", "The UV area of the active object's selected faces", "FACESEL", 1),
    ("ALPHA", "Image Alpha", "The transparent parts of the image, which become opaque", "IMAGE_ALPHA", 2),
)


def _starter_default(item: Declared) -> Any:
    """Return the built-in model's default, so that the first click works well; without the model, the setting's."""
    of_model = {
        "width": "default_width", "height": "default_height", "steps": "steps", "guidance": "guidance",
        "sampler": "sampler", "tile": "default_width", "scale": "scale", "upscaler": "upscaler"}
    try:
        return getattr(models.find_model(STARTER), of_model[item.name]) if item.name in of_model else item.default
    except SDError:
        return item.default


def _setting(name: str | Declared, **extra: Any) -> Any:
    """Return a Blender property for a declared setting, with the built-in model's default."""
    item = find(name) if isinstance(name, str) else name
    return declared(item, **{"default": _starter_default(item), **extra})


_own_prompt = StringProperty(name="Prompt", maxlen=8192, description=(
    "What is painted here. Empty: the prompt that made the image, or where that is not known the main prompt"))


def _adjust_camera(self: "SD_PG_settings", _context: bpy.types.Context) -> None:
    scene.adjust_camera_background(self.id_data, self.camera_background, self.camera_opacity)
    scene.screens.redraw("VIEW_3D")


# ---- the model menu ------------------------------------------------------------------------------------------------
# The model's id, a text, is saved; the menu is a view of it. An enum's number would name another model as soon as a
# folder is added.

_model_items: list[tuple[str, str, str, int]] = []  # kept: Blender does not hold the strings of a dynamic enum


def refresh_model_items() -> None:
    """Read the models into the menu again. Never call this while drawing: it reads folders."""
    _model_items[:] = [
        (info.id, info.name, info.text or info.folder, index) for index, info in enumerate(models.models())]


def _items_with(model: str) -> list[tuple[str, str, str, int]]:
    if not any(item[0] == model for item in _model_items):
        label = bpy.path.display_name_from_filepath(model) or model
        if runtime.policy.refusal(model):
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
    """One scene's settings: those that `core` declares for the panel (see below the class), and the panel's own."""

    task: EnumProperty(name="Task", description="What the picture is made from", items=TASKS, default="TEXT")
    prompt: _setting("prompt", maxlen=8192)
    negative: _setting("negative", maxlen=8192)
    prompt_text: PointerProperty(type=bpy.types.Text, name="Text Block", description=(
        "The text block that holds the prompt. Empty it to type into a field again"))
    style: StringProperty(name="Style",
                          description="The style whose words go round the prompt when you paint; empty for none")
    model_choice: EnumProperty(name=find("model").setting.label, description=find("model").setting.tip,
                               items=lambda self, _context: _items_with(self.model), get=_get_model, set=_set_model)
    large_seed: StringProperty(
        name="Large Seed", maxlen=20, description=(
            "A seed of another program that is too large for the field Seed. It counts instead of that until this "
            "field is empty"
        ))
    random_seed: BoolProperty(name="Random", default=True, description=(
        "Choose a new seed at every click. The seed shown is the last one used: switch this off to keep it"))
    upscale_scale: FloatProperty(name="Scale", default=2.0, min=1.0, max=8.0, soft_max=4.0, step=50, precision=2,
                                 description=("How many times as wide and as high the result is"))
    upscaler: _setting("upscaler", search=lambda self, context, text: [item.name for item in models.upscalers()],
                       description="What enlarges before the model refines: an upscaler's name from the model "
                                   "folders, or its file or folder. Empty: plain resampling")
    target: EnumProperty(name="Target", description="Where the finished picture goes", items=TARGETS, default="AUTO")
    slot_strength: _setting("strength")
    render_strength: _setting("strength")
    render_source: EnumProperty(name="Source", description="What is restyled", items=SOURCES, default="RENDER")
    texture_size: IntProperty(name="Texture Size", default=2048, min=64, max=8192, subtype="PIXEL", description=(
        "Width and height of the objects' new images; images that exist keep their size"))
    texture_from: EnumProperty(name="Views", description="Where the objects are seen from", items=TEXTURE_FROM,
                               default="SIDES")
    texture_sides: BoolVectorProperty(name="Sides", size=len(SIDES), default=(True,) * len(SIDES), description=(
        "The sides from which the objects are painted"))
    texture_mask: EnumProperty(name="Repaint", description="Which part of the textures is painted", items=TEXTURE_MASKS,
                               default="ALL")
    project_objects: BoolProperty(name="Only the Objects", default=False, description=(
        "Inpaint: repaint only the objects, while the model sees the rest of the view round them. Otherwise all of the "
        "view is repainted"))
    project_single_user: BoolProperty(name="Single-User", default=False, description=(
        "Give linked duplicates meshes and images of their own. Otherwise they share one image"))
    project_debug: BoolProperty(name="Debug Pictures", default=False, description=(
        "Also make pictures of what is covered, the weights, the best view and the seams, in the objects' UVs"))
    camera_background: BoolProperty(name="Show in Camera", default=True, update=_adjust_camera, description=(
        "Show the result in front of the scene when looking through the camera. Renders are not changed by it"))
    camera_opacity: FloatProperty(name="Opacity", default=1.0, min=0.0, max=1.0, subtype="FACTOR",
                                  update=_adjust_camera,
                                  description=("How much the result covers the scene when looking through the camera"))

    use_grid: BoolProperty(name="Grid", default=False, description=(
        "Make a picture for each value below, and a labelled contact sheet of them all"))
    x_setting: EnumProperty(name="Across", description="What changes from column to column", items=AXES,
                            default="steps", update=lambda self, _context: self.suggest_values("x"))
    x_values: StringProperty(name="Values", description=rule_of(parts.Axis, "values").tip, default=EXAMPLES["steps"])
    y_setting: EnumProperty(name="Down", description="What changes from row to row", items=(*AXES, NO_AXIS),
                            default="none", update=lambda self, _context: self.suggest_values("y"))
    y_values: StringProperty(name="Values", description=rule_of(parts.Axis, "values").tip)

    use_reference: BoolProperty(name="Use Reference", default=False, description=(
        "Take over the look of an image, with an IP-Adapter from the model folders"))
    reference_image: PointerProperty(type=bpy.types.Image, name="Image",
                                     description="The image whose look is taken over")
    ip_adapter: StringProperty(
        name=find("ip_adapter").setting.label,
        search=lambda self, context, text: [item.name for item in models.ip_adapters()],
        description="The IP-Adapter that reads the image: a name from the model folders, or a file")

    controls: CollectionProperty(type=SD_PG_control, name="Controls",
                                 description="The ControlNets that steer what is painted")
    exact: exact_values()
    control_index: IntProperty(name="Selected Control", description="The control whose settings are shown")

    regions: CollectionProperty(type=SD_PG_region, name="Regions",
                                description="Parts of the picture with settings of their own")
    animation: PointerProperty(type=SD_PG_animation, name="Animation",
                               description="How animations are restyled, beside the settings of the task")
    region_index: IntProperty(name="Selected Region", description="The region whose settings are shown")

    mask_source: EnumProperty(name="Mask From", description="Which part of the image Inpaint repaints", items=MASKS,
                              default="PAINTED")
    expand_to: EnumProperty(name="Grow", description="How far Outpaint lets the picture grow", items=GROWTH,
                            default="SIDES")
    aspect_x: FloatProperty(name="Aspect X", default=16.0, min=0.1, max=100.0, precision=2, description=(
        "Width of the shape that the picture grows to, in any unit; it grows alike on both sides"))
    aspect_y: FloatProperty(name="Y", default=9.0, min=0.1, max=100.0, precision=2, description=(
        "Height of the shape that the picture grows to, in the same unit"))

    def words(self) -> str:
        """Return the prompt: the text block's if one is chosen, or else the field's."""
        return scene.prompt_in(self.prompt_text) if self.prompt_text is not None else self.prompt.strip()

    def suit_model(self) -> None:
        """Set what suits the chosen model; an upscaler that a person has chosen is kept."""
        try:
            info = models.find_model(self.model)
        except SDError:
            return  # the folder is missing; Generate reports it
        self.width, self.height = info.default_width, info.default_height
        self.tile = min(max(info.default_width, 64), 4096)
        self.steps, self.guidance, self.sampler = info.steps, info.guidance, info.sampler
        self.feature_scale = info.scale
        if self.upscaler in ("", STARTER):
            self.upscaler = info.upscaler

    def keywords(self, task: str, words: Words | None = None) -> dict[str, Any]:
        """Return the keywords of the API's call for a task, as set in the panel; without seed, size and controls.

        Args:
            task: The name of one of `core.tasks.KNOWN`.
            words: Replaces the settings that belong to the prompt; None for those set here.

        Raises:
            SDError: The grid or the reference image cannot be used.
        """
        apart = (*_APART, *KNOWN[task].sets)
        items = [*(item for item in used_by(PANEL, COMMON) if item.name not in apart), *used_by(PANEL, task)]
        keywords = {item.name: exact(self, item.prop) for item in items}
        return {**keywords, "style": self.style, **(words.keywords() if words is not None else {}),
                "axes": self.axes(), **self.reference()}

    def reference(self) -> dict[str, Any]:
        """Return the reference image's keywords, none if it is off. Raise SDError if something is missing."""
        if not self.use_reference:
            return {}
        if self.reference_image is None or not self.ip_adapter.strip():
            raise SourceUnusable("The reference lacks its image or its IP-Adapter.",
                                 "Choose both in the Reference panel, or switch it off.")
        return {
            "reference": self.reference_image, "ip_adapter": self.ip_adapter,
            "ip_adapter_weight": exact(self, "ip_adapter_weight")}

    def suggest_values(self, side: str) -> None:
        """Set example values for the axis, unless the artist has entered other ones."""
        if getattr(self, f"{side}_values") in ("", *EXAMPLES.values()):
            setattr(self, f"{side}_values", EXAMPLES.get(getattr(self, f"{side}_setting"), ""))

    def axes(self) -> list[tuple[str, str]]:
        """Return the grid's axes as the API takes them, none if it is off."""
        down = [(self.y_setting, self.y_values)] if self.y_setting != "none" else []
        return [(self.x_setting, self.x_values), *down] if self.use_grid else []

    def control_inputs(self) -> list[ControlInput]:
        """Return the enabled controls as the API takes them. Raise SDError if something is missing."""
        return [control.control_input() for control in self.controls if control.enabled]

    def active_control(self) -> SD_PG_control | None:
        """Return the control that is selected in the list."""
        return self.controls[self.control_index] if 0 <= self.control_index < len(self.controls) else None

    def region_inputs(self, painted: bool = False) -> list[RegionInput]:
        """Return the enabled regions as the API takes them; with `painted`, those that a picture from words alone can
        have. Raise SDError if something is missing."""
        return [region.region_input() for region in self.regions
                if region.enabled and not (painted and (region.keep or region.kind != "MASK" or region.use_strength))]

    def add_region(self) -> SD_PG_region:
        """Return a new region, which is selected in the list."""
        self.region_index = len(self.regions)
        return self.regions.add()

    def active_region(self) -> SD_PG_region | None:
        """Return the region that is selected in the list."""
        return self.regions[self.region_index] if 0 <= self.region_index < len(self.regions) else None

    def aspect(self) -> tuple[float, float] | None:
        """Return the shape to which Outpaint extends the picture, as its keyword; None where sides are set."""
        return (self.aspect_x, self.aspect_y) if self.expand_to == "ASPECT" else None

    def grows(self) -> bool:
        """Return whether Outpaint has something to add."""
        return self.aspect() is not None or any(getattr(self, item.prop) for item in in_group("outpaint"))

    def chosen_seed(self) -> int:
        """Return the seed to use. Raise InvalidRequest if the large seed is not a valid one."""
        text = self.large_seed.strip()
        if not text:
            return self.seed
        if not text.isdecimal() or int(text) > MAX_SEED:
            raise InvalidRequest(f"The large seed '{text}' is no number from 0 to {MAX_SEED}.",
                                 "Correct it, or empty the field.")
        return int(text)

    def take_seed(self, seed: int) -> None:
        """Show `seed`, in the text field if it is too large for the number field."""
        self.large_seed = str(seed) if seed > PANEL_SEED else ""
        if seed <= PANEL_SEED:
            self.seed = seed

    def fill_from(self, request: Request, whole: bool = True) -> None:
        """Set everything that made a picture, so that the next click makes it again.

        Args:
            request: The picture's request.
            whole: Whether the request says all; one made of another program's settings does not.
        """
        for item in (*used_by(PANEL, COMMON), *used_by(PANEL, request.task.name)):
            if item.name not in ("prompt", "seed", "model"):  # see below
                fill(self, item.prop, item.of(request))
        try:
            self.model = locating.located_model(request).id
        except SDError:
            self.model = request.model  # the panel says that it is not here
        model_choices.take(self.model, request.choices, whole)
        self.take_seed(request.seed)
        names = {lora.file: lora.name for lora in models.loras()} if request.loras else {}
        tags = [lora_tag(names.get(lora.file, lora.file), lora.weight, lora.text_weight)
                for lora in request.loras if not lora.tag]
        self.prompt = " ".join([request.prompt, *tags]).strip()
        self.prompt_text = None
        if request.task.own_prompt:
            setattr(self, request.task.own_prompt, self.prompt)
        self.style = ""  # the prompt already contains the style's words
        self.random_seed = False
        self.use_reference = bool(request.ip_adapter)
        if request.reference:
            with suppress(SDError):  # the copy is missing: the chosen image stays
                self.reference_image = recalling.kept_image("reference", request.reference)
        self.ip_adapter = request.ip_adapter
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
        self.regions.clear()
        for region in request.regions:
            self.regions.add().fill_from(region)
        self.region_index = 0
        if isinstance(request.task, TextToImage):
            self.task = "TEXT"
        elif isinstance(request.task, ImageToImage):
            self.task = "TEXTURE" if self.task == "TEXT" else self.task
            for name in ("slot_strength", "render_strength"):
                fill(self, name, request.task.strength)
        elif isinstance(request.task, Inpaint):
            if request.task.mask_kind == "alpha":
                self.mask_source = "ALPHA"
            elif self.mask_source == "ALPHA":
                self.mask_source = "PAINTED"
        elif isinstance(request.task, TextureObject):
            sides = request.task.sides.split(",") if request.task.sides else SIDES
            self.texture_sides = [name in sides for name in SIDES]
        elif isinstance(request.task, Outpaint):
            self.expand_to = "SIDES"  # the sides that resulted from an aspect


_APART = ("prompt", "seed", "width", "height", "ip_adapter_weight")  # settings that are no keywords, or not always
for _item in used_by(PANEL):
    if _item.prop not in SD_PG_settings.__annotations__:
        SD_PG_settings.__annotations__[_item.prop] = _setting(_item)
for _task in ALL_TASKS.values():
    if _task.own_prompt:
        SD_PG_settings.__annotations__[_task.own_prompt] = _own_prompt

CLASSES = (SD_PG_settings,)


def register() -> None:
    bpy.types.Image.sd_mask = PointerProperty(type=bpy.types.Image, name="Mask Image", description=(
        "The image whose white parts mark what Inpaint repaints"))
    bpy.types.Scene.sd = PointerProperty(type=SD_PG_settings, name="Stable Diffusion",
                                         description="Settings of the SD tab")


def unregister() -> None:
    del bpy.types.Scene.sd
    del bpy.types.Image.sd_mask
    _model_items.clear()
