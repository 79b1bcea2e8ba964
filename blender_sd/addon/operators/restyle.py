"""Restyle a render: the Render Result, a new camera render, or the 3D View."""
from __future__ import annotations

import logging
from typing import Any

import bpy
from bpy.props import EnumProperty

from ... import scene
from ...calls import image_to_image
from ...core.errors import SDError, TargetUnusable
from ...core.tasks import IMAGE_TO_IMAGE
from ..declared import exact
from ..properties import SOURCES
from .start import can_restyle, refuse, start

log = logging.getLogger("blender_sd")


class SD_OT_restyle(bpy.types.Operator):
    bl_description = ("Repaint the render or the 3D View after the prompt. The result is a new image, shown in the "
                      "camera or in an Image Editor")

    bl_idname = "sd.restyle"
    bl_label = "Stable Diffusion: Restyle Render or View"
    bl_options = {"REGISTER"}

    source: EnumProperty(name="Source", description="What is restyled", default="PANEL", options={"SKIP_SAVE"}, items=(
        ("PANEL", "As in the Panel", "What the panel's Source says", "PREFERENCES", len(SOURCES)), *SOURCES))

    @classmethod
    def poll(cls, context):
        return can_restyle(cls, context)

    def execute(self, context):
        source = context.scene.sd.render_source if self.source == "PANEL" else self.source
        try:
            keywords = _request_keywords(context, source)
        except SDError as error:
            return refuse(self, error)
        if source == "CAMERA" and not bpy.app.background:
            return self._after_camera_render(context, keywords)
        return start(self, context, lambda seed: image_to_image.restyle(source, seed=seed, **keywords))

    def _after_camera_render(self, context, keywords: dict[str, Any]) -> set[str]:
        """Start a camera render, and submit the job when Blender has finished it."""

        def done() -> None:
            start(None, bpy.context, lambda seed: image_to_image.restyle("RENDER", seed=seed, **keywords))

        def cancelled() -> None:
            log.info("the camera render was cancelled")

        try:
            image_to_image.check_restyle(**keywords)  # not only after a long render
            scene.start_camera_render(context.scene, done, cancelled, mattes=bool(keywords.get("regions")))
        except SDError as error:
            return refuse(self, error)
        return {"FINISHED"}


def _request_keywords(context: bpy.types.Context, source: str) -> dict[str, Any]:
    """Return all keywords except source and seed, as set at the click: they may be changed while Blender renders.

    Raises:
        SDError: A setting or the target cannot be used.
    """
    settings = context.scene.sd
    return {"prompt": settings.words(), "strength": exact(settings, "render_strength"),
            "target": _target(context, source), "label": settings.words() or "Restyle",
            "controls": settings.control_inputs(), "regions": settings.region_inputs(),
            **settings.keywords(IMAGE_TO_IMAGE)}


def _target(context: bpy.types.Context, source: str) -> scene.Target:
    """Return the camera's background if the camera is the source and editable, otherwise a new image."""
    settings = context.scene.sd
    if settings.camera_background and source != "VIEWPORT":
        try:
            return scene.freeze_target(context, "camera_background", opacity=settings.camera_opacity)
        except TargetUnusable as error:
            log.info("the result is not shown in the camera: %s", error)
    return scene.freeze_target(context, "new")


CLASSES = (SD_OT_restyle,)
