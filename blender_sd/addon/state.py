"""`WindowManager.sd`: what is running, as the panels show it. Only `mirror.py` and the operators write it; `draw()` only reads.

(No `from __future__ import annotations` here: Blender reads properties from the annotations themselves.)
"""
import bpy
from bpy.props import BoolProperty, CollectionProperty, FloatProperty, IntProperty, PointerProperty, StringProperty

from ..protocol.errors import SDError


class SD_PG_job(bpy.types.PropertyGroup):
    """One job of the queue. `name` is its label."""

    job_id: StringProperty(name="Id", description="Names the job among those of this session")
    state: StringProperty(name="State", description="queued, loading, running, finished, cancelled or failed")
    text: StringProperty(name="Text", description="What the job is doing, or how it ended")
    progress: FloatProperty(name="Progress", description="How much of the job is done", subtype="FACTOR", min=0.0, max=1.0)


class SD_PG_state(bpy.types.PropertyGroup):
    """What is running now, in words and figures ready to be drawn."""

    engine: StringProperty(name="Engine", description="off, starting, ready or failed", default="off")
    engine_text: StringProperty(name="Engine Status", description="What the engine is doing, in words")
    jobs: CollectionProperty(type=SD_PG_job, name="Jobs", description="The queue, oldest first")
    job_index: IntProperty(name="Selected Job", description="The job that is selected in the queue")
    active: BoolProperty(name="Active", description="Whether a job is running or waiting")
    progress: FloatProperty(name="Progress", description="How much of the running job is done", subtype="FACTOR", min=0.0, max=1.0)
    progress_text: StringProperty(name="Progress Text", description="Step, total and time left of the running job")
    error: StringProperty(name="Error", description="What went wrong last")
    hint: StringProperty(name="Remedy", description="What to do about the last error")
    error_kind: StringProperty(name="Kind of Error", description="Which buttons help against the last error")
    notes: StringProperty(name="Notes", description="What the last job has to say, one line each")


CLASSES = (SD_PG_job, SD_PG_state)


def show_error(error: SDError) -> None:
    """Shows `error` in the panel until it is dismissed or the next job starts."""
    state = bpy.context.window_manager.sd
    state.error, state.hint, state.error_kind = error.message, error.hint, error.kind


def clear_error() -> None:
    state = bpy.context.window_manager.sd
    state.error = state.hint = state.error_kind = ""


def register() -> None:
    bpy.types.WindowManager.sd = PointerProperty(type=SD_PG_state, name="Stable Diffusion", description="What the SD tab is doing now")


def unregister() -> None:
    del bpy.types.WindowManager.sd
