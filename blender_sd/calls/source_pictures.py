"""The pictures that requests are about: what painted them, whether they can be used, and the copies that were kept."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..core.common_settings import MAX_SIDE, MIN_SIDE
from ..core.errors import SDError, SourceUnusable
from ..core.nets import STARTER
from ..core.request import Request
from ..core.tasks import INPAINT
from ..library import png, source_copies
from .runtime import runtime

_MAX_EDITS = 24  # of one picture that are followed


def whole_request(source: Any) -> Callable[[], Request | None]:
    """Return a function, for any thread, that finds the request which painted `source` (an image datablock, the path of
    a PNG) as a whole; None where it is not known.

    What was painted into a picture later (inpainted, outpainted, a seam) has a prompt of its own, which may be about
    that part alone: the copies of the source images in the output folder lead back to the picture before. Raises
    nothing.
    """
    read = runtime.scene.request_reader(source)

    def find() -> Request | None:
        request = known(read)
        for _ in range(_MAX_EDITS):
            if request is None or not request.task.of_a_part or not request.source:
                break
            edit, digest = request, request.source
            request = known(
                lambda: png.request_in(png.read_text(kept_input("source", digest))))  # noqa: B023 (called at once)
            if request is None and edit.task.name != INPAINT:
                return edit  # its prompt is as much as is known
        return request

    def known(read: Callable[[], Request]) -> Request | None:
        try:
            return read()
        except (SDError, OSError):
            return None

    return find


def loras_of(request: Request, model: str) -> tuple[tuple[str, float], ...]:
    """Return the (file, weight) of each LoRA of `request`; none for another `model`, for which they may not be made."""
    return tuple((lora.file, lora.weight) for lora in request.loras if not lora.tag) if request.model == model else ()


def words_from(source: Any, given: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the prompt that made `source`, "" where it is not known, and the keywords `given` of an order with that
    picture's negative prompt and LoRAs where they are left open."""
    made = whole_request(source)()
    if made is None:
        return "", given
    model = runtime.models.find(given.get("model") or STARTER).id
    chosen = {key: value for key, value in given.items() if value is not None}
    return made.prompt, {"negative": made.negative, "loras": loras_of(made, model), **chosen}


def check_source_size(size: tuple[int, int]) -> None:
    """Raise SourceUnusable for a picture too small or too large."""
    if min(size) < MIN_SIDE or max(size) > MAX_SIDE:
        raise SourceUnusable(f"The source image is {size[0]} × {size[1]} pixels.",
                             f"Use one with sides between {MIN_SIDE} and {MAX_SIDE} pixels.")


def kept_input(role: str, digest: str) -> Path:
    """Return the copy that the engine kept of an input picture. Raises SourceUnusable where it is gone, or is another
    picture by now."""
    name = digest.removeprefix("sha256:")
    copies = sorted((runtime.folders.output_folder() / "sources").glob(f"{name}.*")) if name.isalnum() else []
    if not copies:
        raise SourceUnusable(f"The {role} image of these settings is no longer in the output folder.",
                             f"Choose a {role} image.")
    try:
        if source_copies.holds(copies[0], digest):
            return copies[0]
    except OSError:
        pass  # a pipe, or nothing that can be read
    raise SourceUnusable(f"The {role} image of these settings was changed in the output folder.",
                         f"Choose a {role} image.")
