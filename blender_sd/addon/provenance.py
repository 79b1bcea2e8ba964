"""What the panel "Where Did This Come From" shows of an image: made ready here, in Python's memory; `draw()` only reads.

What the datablock says is read while drawing: it is memory, and remembered until it changes. What lies in files (the chain of edits, the
credentials, texts of other programs) is read by a thread once the panel has asked (`wanted`), and copied here by the timer (`update`).
"""
from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass, replace

import bpy
import bpy.utils.previews

from .. import config, proofs, scene
from ..protocol import proof
from ..protocol.errors import SDError
from ..protocol.facts import SOURCES_KEY, Facts, lines
from ..protocol.origin import ORIGIN_KEY
from ..protocol.png import REQUEST_KEY
from ..session import lineage
from ..session.lineage import Known, Link
from ..session.verifying import Verification

# What is said of a link that could not be followed.
PROBLEMS = {lineage.GONE: "No copy of it is in the output folder", lineage.CHANGED: "Its copy was changed; what it says is not believed",
            lineage.AGAIN: "Stands further up already", lineage.DEEP: "The chain goes on; no further was looked"}
# What the check of content credentials has found.
PROOFS = {proof.NONE: "Its file carries no content credentials",
          proof.BROKEN: "Changed since it was signed, or its credentials are unsound",
          proof.VALID: "As it was signed; nobody known here vouches for the signer",
          proof.TRUSTED: "As it was signed, by the certificate in the preferences"}
_KEPT = 32  # images whose story is remembered
_PICTURES = 12  # thumbnails at most


@dataclass(frozen=True)
class Story:
    """All that is shown of one image. `chain`: None while it is looked for; `icons`: of each link, 0 for none. `looked`: what its file
    says, once somebody has looked into it; `problem`: why that failed."""

    facts: Facts
    chain: tuple[Link, ...] | None = None
    icons: tuple[int, ...] = ()
    looked: Known | None = None
    problem: str = ""

    @property
    def told(self) -> Facts:
        """What is known by the datablock, else by its file."""
        if self.facts.known or self.looked is None:
            return self.facts
        return replace(self.facts, request=self.looked.request, origin=self.looked.origin)


_stories: OrderedDict[tuple, Story] = OrderedDict()  # by `_key`
_wanted: tuple | None = None  # the image whose chain the panel asks for
_tracing: tuple[tuple, Future, threading.Event] | None = None
_looking: dict[tuple, Future] = {}
_checks: dict[tuple, Verification] = {}
_previews: bpy.utils.previews.ImagePreviewCollection | None = None


def story_of(image: bpy.types.Image) -> Story:
    """What is known of `image` now; asks for its chain. Reads memory alone; for `draw`."""
    global _wanted
    key = _key(image)
    if key not in _stories:
        facts = scene.facts_of(image)
        _stories[key] = Story(facts, None if facts.inputs else ())
        while len(_stories) > _KEPT:
            _stories.popitem(last=False)
    _stories.move_to_end(key)
    if _stories[key].chain is None:
        _wanted = key
    return _stories[key]


def text_of(image: bpy.types.Image) -> str:
    """All that is known of `image` now, in lines."""
    story = story_of(image)
    found = [image.name, *([f"{what}: {value}" for what, value in lines(story.told)] or ["Nothing is known of this image"])]
    for link in story.chain or ():
        said = f' "{link.known.request.prompt}"' if link.known.request is not None else ""
        found.append(f"{'  ' * link.depth}{link.role}: {link.name or link.digest}{said}"
                     + (f" ({PROBLEMS[link.problem]})" if link.problem else ""))
    return "\n".join(found) + "\n"


def look_into(image: bpy.types.Image) -> None:
    """Has the image's file read: its texts, and whether it carries content credentials. Raises SourceUnusable where it has none."""
    key, file = _key(image), scene.file_of(image)
    story_of(image)
    if key not in _looking:
        _looking[key] = lineage.in_background(lambda: lineage.look_into(file if isinstance(file, str) else file.encoded))


def is_looking(image: bpy.types.Image) -> bool:
    return _key(image) in _looking


def check(image: bpy.types.Image) -> None:
    """Has the content credentials of the image's file checked, in a process of its own. Raises SDError."""
    _checks[_key(image)] = proofs.credentials(image)


def check_of(image: bpy.types.Image) -> Verification | None:
    """The check that was begun last, which may still be going on."""
    return _checks.get(_key(image))


def busy() -> bool:
    """Whether something may soon be new."""
    return bool(_looking) or _tracing is not None or _wanted is not None or proofs.running()


def update() -> bool:
    """Takes over what the threads have found, and starts what the panel has asked for; whether anything changed."""
    global _wanted
    changed = False
    for key in [key for key, future in _looking.items() if future.done()]:
        future, changed = _looking.pop(key), True
        error = future.exception()
        if error is None:
            _tell(key, future.result())
        elif key in _stories:
            _stories[key] = replace(_stories[key], problem=str(error) if isinstance(error, SDError) else "The file cannot be read")
    changed |= _take_chain()
    if _wanted is not None and (_tracing is None or _tracing[0] != _wanted):
        _trace(_wanted)
    _wanted = None
    return changed


def forget() -> None:
    """A file was loaded: images of the old one are gone."""
    global _wanted, _tracing
    _stories.clear()
    _looking.clear()
    _checks.clear()
    if _tracing is not None:
        _tracing[2].set()
    _wanted = _tracing = None


# ---- inside --------------------------------------------------------------------------------------------------------


def _key(image: bpy.types.Image) -> tuple:
    """An image as it stands: another text in a property, or another file, is another story."""
    return (image.session_uid, image.name, image.filepath_raw, bool(image.packed_file), scene.is_marked(image),
            *(image.get(name) for name in (REQUEST_KEY, ORIGIN_KEY, SOURCES_KEY)))


def _tell(key: tuple, known: Known) -> None:
    if key in _stories:
        story = replace(_stories[key], looked=known, problem="")
        _stories[key] = replace(story, chain=None) if story.told.inputs and not story.facts.inputs else story


def _trace(key: tuple) -> None:
    global _tracing
    if _tracing is not None:
        _tracing[2].set()  # another image is shown now
    story = _stories.get(key)
    if story is None or story.told.request is None:
        return
    request, folder, stop = story.told.request, str(config.output_path()), threading.Event()
    _tracing = key, lineage.in_background(lambda: lineage.trace(request, folder, stop.is_set)), stop


def _take_chain() -> bool:
    global _tracing
    if _tracing is None or not _tracing[1].done():
        return False
    key, future, stop = _tracing
    _tracing = None
    if key not in _stories or stop.is_set():
        return False
    chain = () if future.exception() is not None else future.result()
    _stories[key] = replace(_stories[key], chain=chain, icons=_icons(chain))
    return True


def _icons(chain: tuple[Link, ...]) -> tuple[int, ...]:
    """Blender's icon of each link's thumbnail, which a thread of Blender's makes when it is first drawn."""
    global _previews
    if _previews is None:
        _previews = bpy.utils.previews.new()
    paths = [link.path for link in chain[:_PICTURES]]
    shown = {link.path for story in _stories.values() for link in story.chain or ()}
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
