"""Run jobs in the background: jobs, their queue and its thread, child processes and their supervision.

No bpy, no torch.
"""
from .job import Job
from .process import Limits, ProcessPipeline
from .session import Session

__all__ = ["Job", "Limits", "ProcessPipeline", "Session"]
