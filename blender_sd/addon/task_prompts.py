"""Choose the prompt of Inpaint, Outpaint, Upscale and Make Seamless.

It is the text in their own panel, or else the prompt that made the image, or else the main prompt.

The prompt of an image may have to be read from a file, which no panel may do while it draws. So panels show what is
cached here (`shown`), a thread reads what is missing, and the timer collects it (`update`). Operators read it at once
(`words_of`).
"""
from __future__ import annotations

import os
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import bpy

from ..calls import source_pictures
from ..core.prompt_choices import lora_tag
from ..core.request import Request
from ..core.tasks import TASKS
from ..library import lineage
from ..library.png import REQUEST_KEY

OWN, IMAGE, MAIN, UNKNOWN = "own", "image", "main", "unknown"
_KEPT = 64  # images whose prompt is remembered


@dataclass(frozen=True)
class Words:
    """A prompt, with everything that belongs to it.

    Attributes:
        origin: OWN (the panel's field), IMAGE (the prompt that made the image), MAIN (the main prompt), or UNKNOWN
            while the image's file is being read.
        loras: (file, weight) of each LoRA that made the image.
    """

    origin: str
    prompt: str = ""
    negative: str = ""
    style: str = ""
    loras: tuple[tuple[str, float], ...] = ()

    @property
    def text(self) -> str:
        """Return the prompt as an artist would type it, with its LoRAs as tags."""
        tags = [lora_tag(os.path.splitext(os.path.basename(file))[0], weight) for file, weight in self.loras]
        return " ".join([self.prompt, *tags]).strip()

    def keywords(self) -> dict[str, Any]:
        """Return the API's keywords that belong to this prompt."""
        return {"negative": self.negative, "style": self.style, "loras": self.loras}


_prompts: OrderedDict[tuple, Request | None] = OrderedDict()  # by `_key`
_reading: dict[tuple, Future] = {}
_wanted: tuple | None = None  # what a panel has asked for


def words_of(settings: bpy.types.PropertyGroup, task: str, image: bpy.types.Image, typed: str = "") -> Words:
    """Return the words for `task` on `image`. May read files.

    Args:
        typed: The operator's own prompt, which takes precedence over the panel's.
    """
    typed = typed.strip() or _field(settings, task)
    return _chosen(settings, typed, None if typed else source_pictures.whole_request(image)())


def shown(settings: bpy.types.PropertyGroup, task: str, image: bpy.types.Image | None) -> Words:
    """Return the words from memory, for `draw`; the timer reads what is not known yet."""
    global _wanted
    typed = _field(settings, task)
    if typed or image is None:
        return _chosen(settings, typed, None)
    key = _key(image)
    if key in _prompts:
        return _chosen(settings, "", _prompts[key])
    _wanted = key
    return Words(UNKNOWN)


def update() -> bool:
    """Start reading what a panel has asked for, and collect what was read; return whether something is new."""
    global _wanted
    key, _wanted = _wanted, None
    if key is not None and key not in _prompts and key not in _reading:
        image = next((item for item in bpy.data.images if item.session_uid == key[0]), None)
        if image is not None:
            _reading[key] = lineage.in_background(source_pictures.whole_request(image))
    done = [key for key, future in _reading.items() if future.done()]
    for key in done:
        future = _reading.pop(key)
        _prompts[key] = future.result() if future.exception() is None else None
    while len(_prompts) > _KEPT:
        _prompts.popitem(last=False)
    return bool(done)


def busy() -> bool:
    """Return whether a prompt is wanted or being read."""
    return bool(_reading) or _wanted is not None


def register() -> None:
    """Do nothing: the cache fills when panels ask."""


def unregister() -> None:
    """Forget everything."""
    global _wanted
    _prompts.clear()
    _reading.clear()
    _wanted = None


# ---- inside --------------------------------------------------------------------------------------------------------


def _field(settings: bpy.types.PropertyGroup, task: str) -> str:
    return getattr(settings, TASKS[task].own_prompt).strip()


def _chosen(settings: bpy.types.PropertyGroup, typed: str, made: Request | None) -> Words:
    """Return the words to use.

    A prompt that made the image already contains its style's words, and has its own negative prompt and LoRAs.
    """
    if typed:
        return Words(OWN, typed, settings.negative, settings.style)
    if made is not None and made.prompt.strip():
        return Words(IMAGE, made.prompt.strip(), made.negative, "", source_pictures.loras_of(made, settings.model))
    return Words(MAIN, settings.words(), settings.negative, settings.style)


def _key(image: bpy.types.Image) -> tuple:
    """Return a key that changes whenever the image's prompt may have changed."""
    return image.session_uid, str(image.get(REQUEST_KEY, "")), image.filepath_raw, image.packed_file is not None
