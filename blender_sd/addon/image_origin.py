"""Prepare what the panel "Where Did This Come From" shows about an image; `draw()` only reads memory.

What the datablock contains is read while drawing, from memory, and kept until it changes. What is in files (the chain
of edits, credentials, texts of other programs) is read by a thread after the panel has asked for it (`_wanted`), and
the timer copies it here (`update`).
"""
from __future__ import annotations

import concurrent.futures
import threading
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass, replace

import bpy
import bpy.utils.previews

from .. import scene
from ..calls import content_credentials
from ..calls.runtime import runtime
from ..core import content_credentials as credential_report
from ..core.errors import SDError
from ..core.image_origin import ORIGIN_KEY
from ..library import lineage
from ..library.image_origin import SOURCES_KEY, Facts, lines
from ..library.lineage import Known, Link
from ..library.png import REQUEST_KEY
from ..session.content_credentials import Verification

# Texts for links that could not be followed.
PROBLEMS = {lineage.GONE: "No copy of it is in the output folder",
            lineage.CHANGED: "Its copy was changed since, so its settings are not shown",
            lineage.AGAIN: "Already listed above", lineage.DEEP: "The chain goes on from here"}
# Texts for the results of checking content credentials.
PROOFS = {credential_report.NONE: "Its file carries no content credentials",
          credential_report.BROKEN: "Changed since it was signed, or its credentials are damaged",
          credential_report.VALID: "Unchanged since it was signed; the signer's identity is not verified",
          credential_report.TRUSTED: "Unchanged since it was signed with the certificate in the preferences"}
_KEPT = 32  # images whose details are remembered
_PICTURES = 12  # thumbnails at most


@dataclass(frozen=True)
class ImageDetails:
    """Everything that is shown about one image.

    Attributes:
        facts: What its datablock says.
        chain: What it was made of; None while that is traced.
        icons: The icon of each link of the chain, 0 for none.
        looked: What its file says, once that was read.
        problem: Why reading the file failed.
    """

    facts: Facts
    chain: tuple[Link, ...] | None = None
    icons: tuple[int, ...] = ()
    looked: Known | None = None
    problem: str = ""

    @property
    def known_facts(self) -> Facts:
        """Return the facts in the datablock or, if it has none, in the file."""
        if self.facts.known or self.looked is None:
            return self.facts
        return replace(self.facts, request=self.looked.request, origin=self.looked.origin)


_details: OrderedDict[tuple, ImageDetails] = OrderedDict()  # by `_key`
_wanted: tuple | None = None  # the image whose chain the panel asks for
_tracing: tuple[tuple, Future, threading.Event] | None = None
_looking: dict[tuple, Future] = {}
_checks: dict[tuple, Verification] = {}
_previews: bpy.utils.previews.ImagePreviewCollection | None = None


def details_of(image: bpy.types.Image) -> ImageDetails:
    """Return what is known about `image` now, and ask for its chain. Only memory is read, so this suits drawing."""
    global _wanted
    key = _key(image)
    if key not in _details:
        facts = scene.facts_of(image)
        _details[key] = ImageDetails(facts, None if facts.inputs else ())
        while len(_details) > _KEPT:
            _details.popitem(last=False)
    _details.move_to_end(key)
    if _details[key].chain is None:
        _wanted = key
    return _details[key]


def text_of(image: bpy.types.Image) -> str:
    """Return everything that is known about `image` now, in lines."""
    details = details_of(image)
    known = [f"{what}: {value}" for what, value in lines(details.known_facts)]
    texts = [image.name, *(known or ["Nothing is known of this image"])]
    for link in details.chain or ():
        prompt = f' "{link.known.request.prompt}"' if link.known.request is not None else ""
        texts.append(f"{'  ' * link.depth}{link.role}: {link.name or link.digest}{prompt}"
                     + (f" ({PROBLEMS[link.problem]})" if link.problem else ""))
    return "\n".join(texts) + "\n"


def look_into(image: bpy.types.Image) -> None:
    """Have the image's file read: its texts, and whether it has content credentials.

    Raises:
        SourceUnusable: The image has no file.
    """
    key, file = _key(image), scene.file_of(image)
    details_of(image)
    if key not in _looking:
        _looking[key] = lineage.in_background(lambda: lineage.look_into(file
                                                                        if isinstance(file, str) else file.encoded))


def wait_for_look(seconds: float) -> None:
    """Wait at most that many seconds for the files that are being read, and copy the results."""
    concurrent.futures.wait(_looking.values(), seconds)
    update()


def is_looking(image: bpy.types.Image) -> bool:
    return _key(image) in _looking


def check(image: bpy.types.Image) -> None:
    """Have the content credentials of the image's file checked in a process of its own. Raise SDError if that fails."""
    _checks[_key(image)] = content_credentials.credentials(image)


def check_of(image: bpy.types.Image) -> Verification | None:
    """Return the newest check of the image, which may be running."""
    return _checks.get(_key(image))


def busy() -> bool:
    """Return whether something new is expected."""
    return bool(_looking) or _tracing is not None or _wanted is not None or content_credentials.running()


def update() -> bool:
    """Copy what the threads have read, and start what the panel has asked for; return whether anything changed."""
    global _wanted
    changed = False
    for key in [key for key, future in _looking.items() if future.done()]:
        future, changed = _looking.pop(key), True
        error = future.exception()
        if error is None:
            _tell(key, future.result())
        elif key in _details:
            _details[key] = replace(_details[key],
                                    problem=str(error) if isinstance(error, SDError) else "The file cannot be read")
    changed |= _take_chain()
    if _wanted is not None and (_tracing is None or _tracing[0] != _wanted):
        _trace(_wanted)
    _wanted = None
    return changed


def forget() -> None:
    """Forget everything, because a file was loaded and the images of the old one no longer exist."""
    global _wanted, _tracing
    _details.clear()
    _looking.clear()
    _checks.clear()
    if _tracing is not None:
        _tracing[2].set()
    _wanted = _tracing = None


# ---- inside --------------------------------------------------------------------------------------------------------


def _key(image: bpy.types.Image) -> tuple:
    """Return a key of the image's state, which changes with its properties and its file."""
    return (image.session_uid, image.name, image.filepath_raw, bool(image.packed_file), scene.is_marked(image),
            *(image.get(name) for name in (REQUEST_KEY, ORIGIN_KEY, SOURCES_KEY)))


def _tell(key: tuple, known: Known) -> None:
    if key in _details:
        details = replace(_details[key], looked=known, problem="")
        _details[key] = replace(details,
                                chain=None) if details.known_facts.inputs and not details.facts.inputs else details


def _trace(key: tuple) -> None:
    global _tracing
    if _tracing is not None:
        _tracing[2].set()  # another image is shown now
    details = _details.get(key)
    if details is None or details.known_facts.request is None:
        return
    request, folder, stop = details.known_facts.request, str(runtime.folders.output_path()), threading.Event()
    _tracing = key, lineage.in_background(lambda: lineage.trace(request, folder, stop.is_set)), stop


def _take_chain() -> bool:
    global _tracing
    if _tracing is None or not _tracing[1].done():
        return False
    key, future, stop = _tracing
    _tracing = None
    if key not in _details or stop.is_set():
        return False
    chain = () if future.exception() is not None else future.result()
    _details[key] = replace(_details[key], chain=chain, icons=_icons(chain))
    return True


def _icons(chain: tuple[Link, ...]) -> tuple[int, ...]:
    """Return the icon of each link's thumbnail, which Blender's thread makes when it is first drawn."""
    global _previews
    if _previews is None:
        _previews = bpy.utils.previews.new()
    paths = [link.path for link in chain[:_PICTURES]]
    shown = {link.path for details in _details.values() for link in details.chain or ()}
    for path in set(_previews) - shown - set(paths):
        del _previews[path]
    for path in set(paths) - set(_previews) - {""}:
        _previews.load(path, path, "IMAGE")
    return tuple(_previews[path].icon_id if path else 0 for path in paths) + (0,) * (len(chain) - len(paths))


def register() -> None:
    forget()


def unregister() -> None:
    global _previews
    forget()
    if _previews is not None:
        bpy.utils.previews.remove(_previews)
        _previews = None
