"""Where the shot of an animation is kept: in a hidden folder beside the finished frames, until it is not needed."""
from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
from collections.abc import Mapping
from concurrent.futures import Future
from threading import Thread
from typing import Any

from ..core.errors import OutputUnwritable, SDError
from ..core.request import Request
from ..protocol import shots
from . import files

log = logging.getLogger("blender_sd")

_MOST_COPIES = 100  # that are remembered
_BLOCK = 1 << 22  # bytes read at a time
SHOT = ".shot"  # in the folder of the finished frames
_COPY = "file"  # in that: the saved copy of the scene
_CONTENTS = "contents.json"  # and what the shot is of
_REQUEST = "request.json"  # and what its frames are painted with
_OLD = ".shot-old-"  # how shots that were put aside are called


def shot_in(output: str) -> str:
    """Return where the shot of an output folder lies, whether it is there or not."""
    return os.path.join(output, SHOT)


def is_recorded(output: str) -> bool:
    """Return whether an output folder has a whole shot."""
    return os.path.isfile(os.path.join(shot_in(output), shots.INFO))


def new_shot(output: str) -> str:
    """Make the folder of a new shot in an existing output folder, and return it.

    An older one of ours is only put aside, which takes no time: `sweep` deletes it. Raises OutputUnwritable if the
    folder cannot be made, or something else lies there.
    """
    folder = shot_in(output)
    try:
        if os.path.lexists(folder):
            if not files.is_claimed(folder):
                raise OutputUnwritable(f"Something else lies in the way: {folder}.", "Choose another output folder.")
            files.replace(folder, os.path.join(output, f"{_OLD}{secrets.token_hex(8)}"))
        files.claim(folder)
        files.make_folder(os.path.join(folder, _COPY))
    except OSError as error:
        raise _unwritable(output, error) from None
    return folder


def sweep(output: str) -> None:
    """Delete the shots that `new_shot` has put aside in an output folder. It takes long for large ones."""
    for name in files.names_in(output):
        path = os.path.join(output, name)
        if name.startswith(_OLD) and files.is_claimed(path):
            try:
                files.discard_claimed(path)
            except OSError as error:
                log.info("an old shot cannot be deleted yet: %r", error)


def forget_shot(output: str) -> bool:
    """Delete the shot of an output folder, and return whether there was one. The finished frames stay. Raise OSError.
    """
    folder = shot_in(output)
    if not files.is_claimed(folder):
        return False
    files.discard_claimed(folder)
    return True


def share(source: str, output: str) -> None:
    """Give the shot of another output folder what that of `source` has and it lacks: by links to the same files where
    the disk allows, else by copies. What is written later into one of them does not change the other.

    Raises OutputUnwritable.
    """
    start, target = shot_in(source), shot_in(output)
    try:
        for folder, names, files_there in os.walk(start):
            place = os.path.join(target, os.path.relpath(folder, start))
            names[:] = [name for name in names if not files.is_link(os.path.join(folder, name))]
            files.make_folder(os.path.normpath(place))
            for name in files_there:
                if name != shots.INFO:
                    _share_file(os.path.join(folder, name), os.path.join(place, name))
        _share_file(os.path.join(start, shots.INFO), os.path.join(target, shots.INFO))  # the last: then it is whole
    except OSError as error:
        raise _unwritable(output, error) from None


def _share_file(source: str, target: str) -> None:
    if os.path.lexists(target) or os.path.islink(source):
        return
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        with open(source, "rb") as file:
            files.write_whole(target, file.read())


# ---- what a shot is of, and what it was painted with ----------------------------------------------------------------


def note_contents(output: str, contents: Mapping[str, str]) -> None:
    """Write down what the shot of an output folder is of, for `contents_of`. Raises OutputUnwritable."""
    _put(output, _CONTENTS, dict(contents))


def contents_of(output: str) -> dict[str, str]:
    """Return what `note_contents` wrote down; nothing where there is no shot, or it was not written down."""
    known = _noted(output, _CONTENTS)
    return {name: value for name, value in known.items() if isinstance(value, str)} if isinstance(known, dict) else {}


def note_request(output: str, request: Request) -> None:
    """Write down what the frames of an output folder are painted with. Raises OutputUnwritable."""
    _put(output, _REQUEST, json.loads(request.to_json()))


def request_of(output: str) -> Request | None:
    """Return what the frames of an output folder were last painted with; None where that is not known."""
    known = _noted(output, _REQUEST)
    try:
        return Request.from_json(json.dumps(known)) if isinstance(known, dict) else None
    except SDError:
        return None


def _put(output: str, name: str, content: dict[str, Any]) -> None:
    try:
        files.write_whole(os.path.join(shot_in(output), name), json.dumps(content).encode())
    except OSError as error:
        raise _unwritable(output, error) from None


def _noted(output: str, name: str) -> Any:
    try:
        with open(os.path.join(shot_in(output), name), encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError, RecursionError):
        return None


def _unwritable(output: str, error: OSError) -> OutputUnwritable:
    return OutputUnwritable(f"The output folder {output} cannot be written to.", "Choose another folder.", repr(error))


# ---- the saved copy of the scene ------------------------------------------------------------------------------------


def copy_folder(output: str) -> str:
    """Return where the saved copy of the scene lies in a shot."""
    return os.path.join(shot_in(output), _COPY)


def digest_of(copy: str) -> str:
    """Return the digest of a saved copy; "" if it cannot be read. It takes long for a large one."""
    whole = hashlib.sha256()
    try:
        with open(copy, "rb") as file:
            while block := file.read(_BLOCK):
                whole.update(block)
    except OSError:
        return ""
    return whole.hexdigest()


def digest_soon(copy: str) -> Future[str]:
    """Return the digest of a copy that was just saved, computed on a thread of its own that begins at once."""
    result: Future[str] = Future()
    Thread(target=lambda: result.set_result(digest_of(copy)), daemon=True).start()
    return result


def trust(state: str, digest: str) -> None:
    """Remember that a copy was saved by this computer, so that scripts in it may run again.

    Args:
        state: The file, in a folder of the add-on's own, that holds what was remembered.
        digest: The copy's; "" is not remembered.
    """
    known = [other for other in _trusted(state) if other != digest][-_MOST_COPIES + 1:]
    try:
        files.make_folders(os.path.dirname(state), private=True)
        files.write_whole(state, json.dumps([*known, digest] if digest else known).encode(), private=True)
    except OSError as error:
        log.info("the copy cannot be remembered: %r", error)  # its scripts do not run when it is resumed


def is_trusted(state: str, digest: str) -> bool:
    """Return whether `trust` has remembered a copy with that digest: others may write into an output folder."""
    return bool(digest) and digest in _trusted(state)


def _trusted(state: str) -> list[str]:
    try:
        with open(state, encoding="utf-8") as file:
            known = json.load(file)
    except (OSError, ValueError, RecursionError):
        return []
    return [digest for digest in known if isinstance(digest, str)] if isinstance(known, list) else []


def saved_copy(output: str) -> str:
    """Return the saved copy of the scene in a shot; "" for none."""
    folder = copy_folder(output)
    try:
        names = [name for name in os.listdir(folder) if name.endswith(".blend")]
    except OSError:
        return ""
    return os.path.join(folder, names[0]) if names else ""
