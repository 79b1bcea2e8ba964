"""`Scene.sd.controls`: the ControlNets that steer what is painted, each with the picture that it reads.

(No `from __future__ import annotations` here: Blender reads properties from the annotations themselves.)
"""
from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, PointerProperty, StringProperty

from .. import api, catalogue
from ..protocol.checkpoints import STARTER
from ..protocol.errors import SDError, SourceUnusable
from ..protocol.parts import Control
from .declared import declared

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
    ("CAMERA", "Camera", "What the scene's camera sees; depth, normals, lines and segmentation from the geometry itself", "CAMERA_DATA", 0),
    ("VIEWPORT", "3D View", "What the 3D View shows now; depth, normals, lines and segmentation from the geometry itself", "VIEW3D", 2),
    ("IMAGE", "Image", "An image in this file", "IMAGE_DATA", 1),
)


def _controlnet_names(model: str) -> list[str]:
    """The ControlNets that were made for the family of `model`."""
    info = catalogue.known_model(model)
    return [net.name if net.id != STARTER else STARTER for net in catalogue.controlnets() if info is None or net.fits(info)]


class SD_PG_control(bpy.types.PropertyGroup):
    """One ControlNet and its picture."""

    enabled: BoolProperty(name="Use", default=True, description="Let this control steer what is painted")
    kind: declared(EnumProperty, Control, "kind", items=KINDS)
    model: declared(StringProperty, Control, "model", default=STARTER, search=(
        lambda self, context, text: _controlnet_names(context.scene.sd.model)), description=(
            "The ControlNet that reads the picture: the built-in one, or a folder's name or path"))
    source: EnumProperty(name="From", description="What the control picture is taken from", items=SOURCES, default="CAMERA")
    image: PointerProperty(type=bpy.types.Image, name="Image", description="The image that the control picture is taken from")
    weight: declared(FloatProperty, Control, "weight")
    start: declared(FloatProperty, Control, "start", max=0.99, subtype="FACTOR")
    end: declared(FloatProperty, Control, "end", min=0.01, subtype="FACTOR")

    def picture(self) -> Any:
        """What the control picture is taken from, as the API takes it. Raises SourceUnusable where no image is chosen."""
        if self.source != "IMAGE":
            return self.source
        if self.image is None:
            raise SourceUnusable("No control image is chosen.", "Choose one in the Control panel, or take it from the camera.")
        return self.image

    def steer(self) -> api.Steer:
        """The control as the API takes it. Raises SDError where something is missing."""
        return api.control(self.kind, self.picture(), self.model, weight=self.weight, start=self.start, end=self.end)

    def fill_from(self, control: Control) -> None:
        """Takes over a request's control with its picture, or, where the copy of that is gone, a fresh one from the camera."""
        self.kind, self.model, self.weight, self.start, self.end = control.kind, control.model, control.weight, control.start, control.end
        try:
            self.source, self.image = "IMAGE", api.kept_image("control", control.image)
        except SDError:
            self.source = "CAMERA"


CLASSES = (SD_PG_control,)
