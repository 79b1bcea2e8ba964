"""Render → restyled render, from the Render Result, a fresh camera render, or the 3D View."""
from __future__ import annotations

import logging
from typing import Any

import bpy
from bpy.props import EnumProperty

from ... import api, scene
from ...protocol.errors import SDError
from ...protocol.request import IMAGE_TO_IMAGE
from ..properties import SOURCES
from .start import can_do, refuse, start

log = logging.getLogger("blender_sd")


class SD_OT_restyle(bpy.types.Operator):
    """Repaint the render or the 3D View after the prompt. The result is a new image, shown in an Image Editor if one is open"""

    bl_idname = "sd.restyle"
    bl_label = "Stable Diffusion: Restyle Render or View"
    bl_options = {"REGISTER"}

    source: EnumProperty(name="Source", description="What is restyled", default="PANEL", options={"SKIP_SAVE"}, items=(
        ("PANEL", "As in the Panel", "What the panel's Source says", "PREFERENCES", len(SOURCES)), *SOURCES))

    @classmethod
    def poll(cls, context):
        return can_do(cls, context, IMAGE_TO_IMAGE)

    def execute(self, context):
        try:
            order = _order(context)
        except SDError as error:
            return refuse(self, error)
        source = context.scene.sd.render_source if self.source == "PANEL" else self.source
        if source == "CAMERA" and not bpy.app.background:
            return self._after_camera_render(context, order)
        return start(self, context, lambda seed: api.restyle(source, seed=seed, **order))

    def _after_camera_render(self, context, order: dict[str, Any]) -> set[str]:
        """Blender renders in its own time (and its own window, as the artist has set it); the job starts when it is done."""

        def done() -> None:
            start(None, bpy.context, lambda seed: api.restyle("RENDER", seed=seed, **order))

        def cancelled() -> None:
            log.info("the camera render was cancelled")

        try:
            scene.start_camera_render(context.scene, done, cancelled)
        except SDError as error:
            return refuse(self, error)
        return {"FINISHED"}


def _order(context: bpy.types.Context) -> dict[str, Any]:
    """Everything but source and seed, as it is set at the click: a render may take long enough for second thoughts.
    Raises SDError."""
    settings = context.scene.sd
    kind = "camera_background" if settings.camera_background else "new"
    return {"prompt": settings.words(), "strength": settings.render_strength, "target": scene.freeze_target(context, kind),
            "label": settings.words() or "Restyle", "controls": settings.steers(), **settings.order()}


CLASSES = (SD_OT_restyle,)
