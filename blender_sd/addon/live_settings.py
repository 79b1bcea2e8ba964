"""Define `Scene.sd_live`, live mode's settings in the file, and `WindowManager.sd_live`, its state for drawing.

(No `from __future__ import annotations` here: Blender reads properties from the annotations themselves.)
"""
import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, PointerProperty, StringProperty

from ..scene import overlay
from .declared import declared

SOURCES = (
    ("VIEW", "3D View", "Restyle what the 3D View shows, and lay the picture over it", "VIEW3D", 0),
    ("TEXTURE", "Texture",
     "Restyle the texture that is being painted, else that of the active image node, and show it on the mesh",
     "TPAINT_HLT", 1),
)


def _mixed(self: bpy.types.bpy_struct, _context: bpy.types.Context) -> None:
    overlay.set_share(self.mix)  # at once, while the slider is dragged


class SD_PG_live_settings(bpy.types.PropertyGroup):
    """One scene's settings of live mode."""

    source: EnumProperty(name="Restyle", description="What is restyled again and again", items=SOURCES, default="VIEW")
    size: IntProperty(name="Size", default=256, min=64, max=1024, soft_max=512, step=64, subtype="PIXEL", description=(
        "Longer side of the live picture in pixels. Small is fast: half the side takes about a quarter of the time"))
    steps: IntProperty(name="Steps", default=4, min=1, max=50, soft_max=12, description=(
        "How many times each live picture is denoised, whatever the strength. Few-step models look good with 1 to 4"))
    strength: declared("strength", min=0.05)
    seed: declared("seed")
    mix: FloatProperty(name="Mix", default=0.75, min=0.0, max=1.0, subtype="FACTOR", update=_mixed, description=(
        "How much the live picture covers what is below it: 0 shows the scene alone, 1 the picture alone"))
    fade: BoolProperty(name="Fade While Behind", default=True, description=(
        "Let the picture fade while it is older than what you do, so that you see your work. Has no effect where two "
        "pictures a second or more are painted"))
    idle: IntProperty(
        name="Rest After (s)", default=30, min=5, max=3600, soft_max=300, subtype="TIME_ABSOLUTE",
        description=("Seconds without a change after which live mode stops painting. It goes on with the next change"))


class SD_PG_live(bpy.types.PropertyGroup):
    """What live mode is doing now. Only `live.py` writes it."""

    running: BoolProperty(name="Running", description="Whether live mode is switched on")
    # off, painting, up_to_date or paused
    state: StringProperty(name="State", description="What live mode is doing", default="off")
    text: StringProperty(name="Text", description="What live mode is doing, in words, and how fast it paints")
    picture: BoolProperty(name="Picture", description="Whether there is a live picture to keep")


CLASSES = (SD_PG_live_settings, SD_PG_live)


def register() -> None:
    bpy.types.Scene.sd_live = PointerProperty(type=SD_PG_live_settings, name="Live Mode",
                                              description="Settings of live mode")
    bpy.types.WindowManager.sd_live = PointerProperty(type=SD_PG_live, name="Live Mode",
                                                      description="What live mode is doing now")


def unregister() -> None:
    del bpy.types.WindowManager.sd_live
    del bpy.types.Scene.sd_live
