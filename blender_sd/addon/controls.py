"""Define `Scene.sd.controls`: the ControlNets to use, each with its image.

(No `from __future__ import annotations` here: Blender reads properties from the annotations themselves.)
"""
from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, PointerProperty

from ..calls import control_images, models, recalling
from ..calls.arguments import ControlInput
from ..core.errors import SDError, SourceUnusable
from ..core.parts import Control
from ..core.nets import STARTER
from .declared import declared_field, exact, exact_values, fill

KINDS = (
    ("depth", "Depth", "How far things are: near is white", "MOD_LENGTH", 0),
    ("normal", "Normal", "Which way surfaces face", "NORMALS_FACE", 1),
    ("lines", "Lines", "Outlines and creases, white on black", "MOD_LINEART", 2),
    ("segmentation", "Segmentation", "Each object in a colour of its own", "MESH_UVSPHERE", 3),
    ("canny", "Canny Edges", "The edges in an image", "SHARPCURVE", 4),
    ("blur", "Blur", "An image without its detail", "SMOOTHCURVE", 5),
    ("image", "Image as It Is", "A picture in the ControlNet's own convention", "IMAGE_DATA", 6),
)
SOURCES = (
    ("CAMERA", "Camera",
     "What the scene's camera sees; depth, normals, lines and segmentation from the geometry itself", "CAMERA_DATA", 0),
    ("VIEWPORT", "3D View",
     "What the 3D View shows now; depth, normals, lines and segmentation from the geometry itself", "VIEW3D", 2),
    ("IMAGE", "Image", "An image in this file", "IMAGE_DATA", 1),
)


def _controlnet_names(model: str) -> list[str]:
    """Return the names of the ControlNets for the family of `model`."""
    info = models.known_model(model)
    return [
        net.name if net.id != STARTER else STARTER for net in models.controlnets() if info is None or net.fits(info)]


class SD_PG_control(bpy.types.PropertyGroup):
    """One ControlNet and its picture."""

    enabled: BoolProperty(name="Use", default=True, description="Let this control steer what is painted")
    kind: declared_field(Control, "kind", items=KINDS)
    model: declared_field(Control, "model", default=STARTER, search=(
        lambda self, context, text: _controlnet_names(context.scene.sd.model)), description=(
            "The ControlNet that reads the picture: the built-in one, or a folder's name or path"))
    source: EnumProperty(name="From", description="What the control picture is taken from", items=SOURCES,
                         default="CAMERA")
    image: PointerProperty(type=bpy.types.Image, name="Image",
                           description="The image that the control picture is taken from")
    weight: declared_field(Control, "weight")
    start: declared_field(Control, "start", max=0.99, subtype="FACTOR")
    end: declared_field(Control, "end", min=0.01, subtype="FACTOR")
    exact: exact_values()

    def picture(self) -> Any:
        """Return the source of the control image, as the API takes it. Raise SourceUnusable if no image is chosen."""
        if self.source != "IMAGE":
            return self.source
        if self.image is None:
            raise SourceUnusable("No control image is chosen.",
                                 "Choose one in the Control panel, or take it from the camera.")
        return self.image

    def control_input(self) -> ControlInput:
        """Return the control as the API takes it. Raise SDError if something is missing."""
        return control_images.control(self.kind, self.picture(), self.model, weight=exact(self, "weight"),
                                      start=exact(self, "start"), end=exact(self, "end"))

    def fill_from(self, control: Control) -> None:
        """Set everything from a request's control; if the copy of its image is missing, use the camera again."""
        for name in ("kind", "model", "weight", "start", "end"):
            fill(self, name, getattr(control, name))
        try:
            self.source, self.image = "IMAGE", recalling.kept_image("control", control.image)
        except SDError:
            self.source = "CAMERA"


CLASSES = (SD_PG_control,)
