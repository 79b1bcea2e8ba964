"""The background pipeline: jobs, their queue and its thread, the engine process, the model folders. No bpy, no torch."""
from .job import Job
from .library import ModelInfo, find_models, resolve_model
from .process import Limits, ProcessPipeline
from .session import Session

__all__ = ["Job", "Limits", "ModelInfo", "ProcessPipeline", "Session", "find_models", "resolve_model"]
