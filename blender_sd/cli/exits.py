"""The exit codes of the command line. Farms decide by them whether a task is worth another try (docs/guide/farm.md)."""
from __future__ import annotations

from ..core.errors import InvalidRequest, SDError
from ..core.version import version

DONE = 0  # everything is there
FAILED = 1  # a picture could not be made; the others are there
UNUSABLE = 2  # arguments, a job file or an input cannot be used; nothing was started
NO_ENGINE = 3  # no engine is set up, or it lacks something
FORBIDDEN = 4  # the studio's policy, or Blender's own settings, do not allow it
UNWRITABLE = 5  # the disk is full, or a folder is missing, gone or read-only
NO_MEMORY = 6  # it does not fit into memory
OTHER_VERSION = 7  # another version of the add-on is asked for
INTERRUPTED = 130  # Ctrl-C
TERMINATED = 143  # the system or a farm asked the process to end

_BY_KIND = {
    "invalid_request": UNUSABLE, "model_not_found": UNUSABLE, "source_unusable": UNUSABLE, "no_render": UNUSABLE,
    "style": UNUSABLE, "asset": UNUSABLE, "needs_blender": UNUSABLE, "needs_window": UNUSABLE, "engine_missing":
    NO_ENGINE, "policy": FORBIDDEN, "blocked_word": FORBIDDEN, "licence": FORBIDDEN, "online_access": FORBIDDEN,
    "output_unwritable": UNWRITABLE, "out_of_memory": NO_MEMORY}
# What every further picture would fail of as well.
FINAL = frozenset((NO_ENGINE, UNWRITABLE))


def status_of(error: SDError) -> int:
    """Return the exit code for an error that nothing was made after."""
    return _BY_KIND.get(error.kind, FAILED)


class OtherVersion(InvalidRequest):
    """Another version of the add-on is asked for than this one."""

    def __init__(self, wanted: str) -> None:
        super().__init__(f"This is version {version()} of the add-on, but version {wanted} is asked for.",
                         f"Install version {wanted} on this machine, or submit the job again with version {version()}.")
