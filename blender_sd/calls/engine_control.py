"""How jobs are run on this machine, and the engine that runs them."""
from __future__ import annotations

from pathlib import Path
from typing import Any
from .runtime import runtime


def configure(**changes: Any) -> None:
    """Change how jobs are run, from the next one on.

    A changed engine setting closes the running engine after its current job.

    Args:
        changes: Fields of `config.Config`, by name.

    Raises:
        InvalidRequest: There is no such setting, or the value is of another type.
    """
    if isinstance(output := changes.get("output"), str) and output.startswith("//"):
        changes["output"] = runtime.scene.local_path(output)
    runtime.configure(**changes)


def start_engine() -> None:
    """Start the engine in the background, so that the first picture need not wait for it; again where it had failed."""
    session = runtime.the_session()
    if session.status == "failed":
        session.use(runtime.pipeline_factory())
        session.status = "off"
    session.warm()


def engine_status() -> tuple[str, str]:
    """Return ("off" | "starting" | "ready" | "failed", one line for a person)."""
    session = runtime.session
    return (session.status, session.status_text) if session is not None else ("off", "")


def engine_versions() -> dict[str, str]:
    """Return package -> version of the engine that is ready; empty where none is."""
    session = runtime.session
    return dict(session.engine_info.versions) if session is not None and session.engine_info else {}


def output_folder() -> Path:
    """Return where finished pictures are kept. Made on first use; raises OutputUnwritable where that fails."""
    return runtime.folders.output_folder()
