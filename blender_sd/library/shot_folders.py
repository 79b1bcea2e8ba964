"""Where the shot of an animation is kept: in a hidden folder beside the finished frames, until it is not needed."""
from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil

from ..core.errors import OutputUnwritable
from ..protocol import shots
from . import files

log = logging.getLogger("blender_sd")

_MOST_COPIES = 100  # that are remembered
_BLOCK = 1 << 22  # bytes read at a time
SHOT = ".shot"  # in the folder of the finished frames
_COPY = "file"  # in that: the saved copy of the scene
_CONTENTS = "contents.json"  # and what the shot is of


def shot_in(output: str) -> str:
    """Return where the shot of an output folder lies, whether it is there or not."""
    return os.path.join(output, SHOT)


def is_recorded(output: str) -> bool:
    """Return whether an output folder has a whole shot."""
    return os.path.isfile(os.path.join(shot_in(output), shots.INFO))


def new_shot(output: str) -> str:
    """Make the folder of a new shot in an existing output folder, and return it. An older one of ours is deleted.

    Raises OutputUnwritable if it cannot be made, or something else lies there.
    """
    folder = shot_in(output)
    try:
        if os.path.lexists(folder):
            if not files.is_claimed(folder):
                raise OutputUnwritable(f"Something else lies in the way: {folder}.", "Choose another output folder.")
            shutil.rmtree(folder)
        files.claim(folder)
        files.make_folder(os.path.join(folder, _COPY))
    except OSError as error:
        raise OutputUnwritable(f"The output folder {output} cannot be written to.", "Choose another folder.",
                               repr(error)) from None
    return folder


def forget_shot(output: str) -> bool:
    """Delete the shot of an output folder, and return whether there was one. The finished frames stay. Raise OSError.
    """
    folder = shot_in(output)
    if not files.is_claimed(folder):
        return False
    shutil.rmtree(folder)
    return True


def note_contents(output: str, contents: dict[str, str]) -> None:
    """Write down what the shot of an output folder is of, for `differs`. Raises OutputUnwritable."""
    try:
        files.write_whole(os.path.join(shot_in(output), _CONTENTS), json.dumps(contents).encode())
    except OSError as error:
        raise OutputUnwritable(f"The output folder {output} cannot be written to.", "Choose another folder.",
                               repr(error)) from None


def differs(output: str, contents: dict[str, str]) -> str:
    """Return the first of `contents` that the shot of an output folder has otherwise; "" for none, or no shot."""
    try:
        with open(os.path.join(shot_in(output), _CONTENTS), encoding="utf-8") as file:
            known = json.load(file)
    except (OSError, ValueError, RecursionError):
        return ""
    if not isinstance(known, dict):
        return ""
    return next((name for name, value in contents.items() if known.get(name, "") != value), "")


def copy_folder(output: str) -> str:
    """Return where the saved copy of the scene lies in a shot."""
    return os.path.join(shot_in(output), _COPY)


def trust(state: str, copy: str) -> None:
    """Remember by its content that a saved copy is this computer's own, so that scripts in it may run again.

    Args:
        state: The file, in a folder of the add-on's own, that holds what was remembered.
        copy: The .blend file.
    """
    known = [*_trusted(state), _digest(copy)][-_MOST_COPIES:]
    try:
        files.make_folders(os.path.dirname(state), private=True)
        files.write_whole(state, json.dumps(known).encode(), private=True)
    except OSError as error:
        log.info("the copy cannot be remembered: %r", error)  # its scripts do not run when it is resumed


def is_trusted(state: str, copy: str) -> bool:
    """Return whether `trust` has remembered a saved copy, and nobody has changed it: others may write into an output
    folder."""
    return _digest(copy) in _trusted(state)


def _trusted(state: str) -> list[str]:
    try:
        with open(state, encoding="utf-8") as file:
            known = json.load(file)
    except (OSError, ValueError, RecursionError):
        return []
    return [digest for digest in known if isinstance(digest, str)] if isinstance(known, list) else []


def _digest(path: str) -> str:
    whole = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(_BLOCK):
                whole.update(block)
    except OSError:
        return ""
    return whole.hexdigest()


def saved_copy(output: str) -> str:
    """Return the saved copy of the scene in a shot; "" for none."""
    folder = copy_folder(output)
    try:
        names = [name for name in os.listdir(folder) if name.endswith(".blend")]
    except OSError:
        return ""
    return os.path.join(folder, names[0]) if names else ""
