"""Define `WindowManager.sd`: what is running, for panels. `mirror.py` and operators write it; `draw()` only reads.

(No `from __future__ import annotations` here: Blender reads properties from the annotations themselves.)
"""
import bpy
from bpy.props import BoolProperty, CollectionProperty, FloatProperty, IntProperty, PointerProperty, StringProperty

from ..core.errors import SDError
from . import causes

# the scene of the error that is shown, and what the error depended on when it came
_cause: tuple[int, object] = (0, None)


class SD_PG_job(bpy.types.PropertyGroup):
    """One job of the queue. `name` is its label."""

    job_id: StringProperty(name="Id", description="Names the job among those of this session")
    state: StringProperty(name="State", description="queued, loading, running, paused, finished, cancelled or failed")
    text: StringProperty(name="Text", description="What the job is doing, or how it ended")
    progress: FloatProperty(name="Progress", description="How much of the job is done", subtype="FACTOR", min=0.0,
                            max=1.0)
    pausable: BoolProperty(name="Pausable", description="Whether the job can be paused, or is")


class SD_PG_state(bpy.types.PropertyGroup):
    """What is running now, in words and figures ready to be drawn."""

    engine: StringProperty(name="Engine", description="off, starting, ready or failed", default="off")
    engine_text: StringProperty(name="Engine Status", description="What the engine is doing, in words")
    jobs: CollectionProperty(type=SD_PG_job, name="Jobs",
                             description="The running job, those that wait, then those that have ended")
    job_index: IntProperty(name="Selected Job", description="The job that is selected in the queue")
    active: BoolProperty(name="Active", description="Whether a job is running or waiting")
    waiting: IntProperty(name="Waiting", description="How many jobs wait for the running one")
    progress: FloatProperty(name="Progress", description="How much of the running job is done", subtype="FACTOR",
                            min=0.0, max=1.0)
    progress_text: StringProperty(name="Progress Text", description="Step, total and time left of the running job")
    error: StringProperty(name="Error", description="What went wrong last")
    hint: StringProperty(name="Remedy", description="What to do about the last error")
    error_kind: StringProperty(name="Kind of Error", description="Which buttons help against the last error")
    hidden_by: StringProperty(name="Hidden By",
                              description="The shading of the 3D View that hides the newest result; empty for none")
    outcome: StringProperty(name="Result", description="Where the newest result went")
    notes: StringProperty(name="Notes", description="What the last job has to say, one line each")


CLASSES = (SD_PG_job, SD_PG_state)


def show_error(error: SDError) -> None:
    """Show `error` in the panel until it is dismissed, the next job starts, or its cause is fixed."""
    global _cause
    state = bpy.context.window_manager.sd
    state.error, state.hint, state.error_kind = error.message, error.hint, error.kind
    _cause = bpy.context.scene.session_uid, causes.of(error.kind, bpy.context.scene)


def clear_error() -> None:
    """Clear the error."""
    state = bpy.context.window_manager.sd
    state.error = state.hint = state.error_kind = ""


def update() -> bool:
    """Clear the error if its cause is fixed; return whether anything changed."""
    state = bpy.context.window_manager.sd
    if not state.error:
        return False
    uid, before = _cause
    scene = next((scene for scene in bpy.data.scenes if scene.session_uid == uid), None)
    gone = scene is None or causes.of(state.error_kind, scene) != before
    if gone:
        clear_error()
    return gone


def register() -> None:
    bpy.types.WindowManager.sd = PointerProperty(type=SD_PG_state, name="Stable Diffusion",
                                                 description="What the SD tab is doing now")


def unregister() -> None:
    del bpy.types.WindowManager.sd
