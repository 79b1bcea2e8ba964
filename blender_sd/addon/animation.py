"""Define what the panel Animation chooses beside the task's settings, and keep the strip of keyframes that it shows.

(No `from __future__ import annotations` here: Blender reads properties from the annotations themselves.)
"""
import os
from pathlib import Path
from typing import Any

import bpy
import bpy.utils.previews
from bpy.app.handlers import persistent
from bpy.props import (
    BoolProperty, CollectionProperty, EnumProperty, FloatProperty, IntProperty, PointerProperty, StringProperty,
)

from .. import scene
from ..calls import sequences
from ..core.declarations import used_by
from ..core.errors import SDError, SourceUnusable
from ..core.settings import PANEL
from ..core.tasks import RESTYLE_SEQUENCE
from ..protocol.shot_names import of_first_view

SOURCES = (
    ("SCENE", "Scene", "Render the scene's animation: in the background, from a copy of the file", "SCENE_DATA", 0),
    ("FILES", "Frames or Movie", "Take a folder of numbered pictures, or a movie", "FILE_MOVIE", 1),
)
LINKS = (  # in lower case: as `restyle_sequence` takes them
    ("AUTO", "Automatic", "The most exact way that the scene allows", 0),
    ("SURFACE", "Surfaces", "Points of surfaces, which are found again exactly", 1),
    ("VECTOR", "Vector Pass", "Blender's Vector pass, where meshes change from frame to frame", 2),
    ("FLOW", "Optical Flow", "Motion that is estimated from the pictures", 3),
)
PLACES = (  # in lower case: as `restyle_sequence` takes them, except the first
    ("FOLDER", "Folder Only", "Leave the frames in their folder", "FILE_FOLDER", 0),
    ("SEQUENCER", "Sequencer", "Add a strip to the Sequencer", "SEQ_SEQUENCER", 1),
    ("COMPOSITOR", "Compositor", "Add an image node to the Compositor", "NODE_COMPOSITING", 2),
)
MOVED = ("strength", "guidance", "seed", "blend")  # settings that can be keyframed and driven
_MOST = 24  # keyframes in the strip

_previews: Any = None
_job: Any = None  # that makes the strip
strip: list[tuple[int, str]] = []  # frames and files of the keyframes


class SD_PG_keyframe(bpy.types.PropertyGroup):
    """A picture that stands for a keyframe."""

    frame: IntProperty(name="Frame", description="The frame that the picture stands for")
    image: PointerProperty(type=bpy.types.Image, name="Image",
                           description="The picture that the frames around it follow, instead of the model's own")


class SD_PG_animation(bpy.types.PropertyGroup):
    """How an animation is restyled, beside the settings of the task."""

    source: EnumProperty(name="Source", description="Which frames are restyled", items=SOURCES, default="SCENE")
    path: StringProperty(name="Frames", subtype="FILE_PATH", description=(
        "A folder of numbered pictures, a movie, or a pattern with #### for the frame's number"))
    of_scene: BoolProperty(name="They Show This Scene", default=False, description=(
        "The pictures were rendered from this scene's camera, so its surfaces can be used"))
    link: EnumProperty(name="Motion", description="How a point is found again in other frames", items=LINKS,
                       default="AUTO")
    blend: FloatProperty(name="Next Prompt", default=0.0, min=0.0, max=1.0, subtype="FACTOR", description=(
        "How much of the next prompt is mixed in, where timeline markers named 'prompt: …' change it. Keyframe it to "
        "fade from one prompt to the next"))
    output: StringProperty(name="Output", subtype="DIR_PATH", description=(
        "The folder for the frames; empty for a new one in the output folder"))
    made: StringProperty(options={"HIDDEN"}, description="The folder that was made for the last animation, not chosen")
    keep: BoolProperty(name="Use Recorded Frames", default=True, description=(
        "Go on with the frames that the folder has, as they were rendered before; switch it off after changing the "
        "scene"))
    place: EnumProperty(name="Bring Into", description="Where the finished frames go", items=PLACES, default="FOLDER")
    movie: BoolProperty(name="Movie", default=False, description="Also make a movie of the frames, beside their folder")
    exr: BoolProperty(name="OpenEXR", default=False, description=(
        "Also write OpenEXR files, scene-linear (linear Rec. 709), into a folder 'exr' beside the frames"))
    every_render: BoolProperty(name="Restyle Every Render", default=False, description=(
        "Restyle each still right after it was rendered, with the settings of the task Render"))
    keyframes: CollectionProperty(type=SD_PG_keyframe, name="Own Keyframes",
                                  description="Pictures that stand for keyframes")

    def keywords(self) -> dict[str, Any]:
        """Return the keywords of `restyle_sequence`, except prompt, seed and the settings of the task. Raises SDError.
        """
        if self.source == "FILES" and not self.path.strip():
            raise SourceUnusable("No folder and no movie is chosen.", "Choose one in the panel Animation.")
        output = self.output.strip()
        kept = bool(output) and self.keep
        source = "SCENE" if self.source == "SCENE" else self.path
        frames = tuple(range(self.id_data.frame_start, self.id_data.frame_end + 1,
                             self.id_data.frame_step)) if source == "SCENE" else None
        recorded = sequences.frames_of(output) if kept else ()
        there = frames is None or set(frames) <= set(recorded)
        resume = kept and (there if recorded else sequences.is_begun(output))
        return {"source": source, "of_scene": self.of_scene and source != "SCENE", "link": self.link.lower(),
                "output": output or None, "resume": resume, "spare": bool(output) and output == self.made,
                "varying": self.varying(),
                "place": "" if self.place == "FOLDER" else self.place.lower(), "keyframes": self.own_keyframes(
                    set(frames) if frames is not None else None)}

    def varying(self) -> dict[str, str]:
        """Return the panel's settings that are keyframed or driven, by the names that the call has for them."""
        props = {item.name: item.prop for item in used_by(PANEL) if item.task in ("", RESTYLE_SEQUENCE)}
        paths = {name: f"sd.{props[name]}" for name in MOVED if name in props} | {"blend": "sd.animation.blend"}
        moved = scene.sequences.animated_in_panel(tuple(path.removeprefix("sd.") for path in paths.values()))
        known = {text.partition("=")[2] for text in moved}
        return {name: path for name, path in paths.items() if path in known}

    def own_keyframes(self, frames: set[int] | None) -> dict[int, bpy.types.Image]:
        """Return the pictures that stand for keyframes among `frames` (None: any), by frame."""
        return {item.frame: item.image for item in self.keyframes
                if item.image is not None and (frames is None or item.frame in frames)}

    def own(self, frame: int) -> SD_PG_keyframe | None:
        """Return what stands for a keyframe; None for nothing."""
        return next((item for item in self.keyframes if item.frame == frame), None)


def watch(job: Any) -> None:
    """Show the keyframes of a job in the strip once it has finished."""
    global _job
    _job = job


def update() -> bool:
    """Take over finished keyframes; return whether anything changed."""
    global _job
    if _job is None or not _job.done:
        return False
    job, _job = _job, None
    if job.state == "finished":
        show([Path(path) for path in job.outputs])
    return True


def show(paths: list[Path]) -> None:
    """Show keyframes in the strip: at most `_MOST`, evenly spread; of several views, those of the first one."""
    keys = list(of_first_view(map(os.fspath, paths)).items())
    strip[:] = keys[::max(1, -(-len(keys) // _MOST))]
    if _previews is not None:
        _previews.clear()
        for _, path in strip:
            _previews.load(path, path, "IMAGE")


def icon_of(path: str) -> int:
    """Return the icon of a keyframe in the strip; 0 while there is none."""
    return _previews[path].icon_id if _previews is not None and path in _previews else 0


@persistent
def _forget(*_: object) -> None:
    global _job
    _job = None
    strip.clear()


CLASSES = (SD_PG_keyframe, SD_PG_animation)


def register() -> None:
    global _previews
    _previews = bpy.utils.previews.new()
    bpy.app.handlers.load_post.append(_forget)


def unregister() -> None:
    global _previews, _job
    bpy.app.handlers.load_post.remove(_forget)
    bpy.utils.previews.remove(_previews)
    _previews = _job = None
    strip.clear()


def refusal(settings: SD_PG_animation) -> SDError | None:
    """Return why nothing can be restyled, None if it can."""
    if settings.source == "SCENE" and settings.id_data.camera is None:
        return SourceUnusable("The scene has no camera.", "Add one (Add ▸ Camera).")
    return None
