"""The engine's calls that return PIL images, with no session and no Blender.

They build requests as Blender's calls do, so that the same keywords give the same pixels.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ..core.errors import InvalidRequest
from ..core.names import suggestion
from ..core.request import Request
from ..core.request_builder import build, check_names, check_reference, checked_scale, checked_size, growth
from ..core.settings import shown
from ..core.tasks import IMAGE_TO_IMAGE, INPAINT, MAKE_SEAMLESS, OUTPAINT, TASKS, TEXT_TO_IMAGE, UPSCALE
from ..library.look_ups import FolderLookUps
from ..library.styles import StyleFolder
from ..protocol.messages import Source
from ..protocol.picture_arrays import pixels_of

if TYPE_CHECKING:
    from .painter import Emit

_STYLES = Path(__file__).resolve().parent.parent / "styles"
Picture = Image.Image | np.ndarray
_Sized = Callable[[int, int], dict[str, int]]  # from a source's width and height, the settings that it decides


class ImageCalls:
    """`paint` for every task, and methods for those that are asked for most. `Engine` adds how requests are carried
    out.

    All take `settings`: the settings of all requests and of the task (`core.common_settings`, `core.tasks`) by their
    names, with models, LoRAs and other nets given by their paths; what is left open is filled in as by Blender's calls.
    `controls` are pairs of a `core.parts.Control` and a picture, `regions` pairs of a `core.regions.Region` and the
    picture of its coverage (white where it lies, of any size), `reference` is a picture for `ip_adapter`. `on_event`
    receives loading, steps and notes. All raise SDError if the request cannot be carried out.
    """

    def _pictures(self, request: Request, inputs: dict[str, Source], on_event: Emit | None) -> list[Image.Image]:
        """Return the pictures of a request with these input pictures by role."""
        raise NotImplementedError

    def generate(self, prompt: str, *, size: tuple[int, int] | None = None, on_event: Emit | None = None,
                 **settings: Any) -> list[Image.Image]:
        """Paint pictures from text.

        Args:
            prompt: What the pictures should show.
            size: (width, height) in pixels, rounded to what the model can paint; None for what it was trained for.

        Returns:
            RGB images; `image.info["blender_sd"]` holds each picture's whole request.
        """
        return self.paint(TEXT_TO_IMAGE, prompt, size=size, on_event=on_event, **settings)

    def restyle(self, image: Picture, prompt: str, *, size: tuple[int, int] | None = None,
                on_event: Emit | None = None, **settings: Any) -> list[Image.Image]:
        """Paint pictures from an image.

        Args:
            image: PIL image of any mode, or an array (`protocol.picture_arrays`);
                sRGB, row 0 on top, straight alpha, which the results keep.
            prompt: What the pictures should show.
            size: (width, height) in pixels; None for the image's own.
        """
        return self.paint(IMAGE_TO_IMAGE, prompt, {"source": image}, size=size, on_event=on_event, **settings)

    def upscale(self, image: Picture, prompt: str = "", *, scale: float = 2.0, on_event: Emit | None = None,
                **settings: Any) -> Image.Image:
        """Enlarge an image and refine it in tiles.

        Args:
            image: As for `restyle`.
            prompt: What the picture shows.
            scale: The factor of both sides.

        Returns:
            The picture; of several (`count`, `axes`), the first.
        """
        checked_scale(scale)

        def scaled(width: int, height: int) -> dict[str, int]:
            return _size((round(width * scale), round(height * scale)))

        return self._painted_from(UPSCALE, prompt, {"source": image}, settings, on_event, scaled)[0]

    def inpaint(self, image: Picture, mask: Picture, prompt: str, *, on_event: Emit | None = None,
                **settings: Any) -> list[Image.Image]:
        """Repaint the masked part of an image; every other pixel stays as it was.

        Args:
            image: As for `restyle`.
            mask: Array or PIL image; white is repainted.
            prompt: What the pictures should show.
        """
        return self.paint(INPAINT, prompt, {"source": image, "mask": mask}, on_event=on_event, **settings)

    def outpaint(self, image: Picture, prompt: str, *, aspect: tuple[float, float] | None = None,
                 on_event: Emit | None = None, **settings: Any) -> list[Image.Image]:
        """Paint beyond the borders of an image.

        Args:
            image: As for `restyle`.
            prompt: What the pictures should show.
            aspect: Width and height of the shape to reach instead of pixels on each side, half of the growth on each.
        """
        def grown(width: int, height: int) -> dict[str, int]:
            sides = growth(width, height, settings, aspect)
            return sides | _size((width + sides["left"] + sides["right"], height + sides["top"] + sides["bottom"]))

        return self._painted_from(OUTPAINT, prompt, {"source": image}, settings, on_event, grown)

    def make_seamless(self, image: Picture, prompt: str = "", *, on_event: Emit | None = None,
                      **settings: Any) -> list[Image.Image]:
        """Repaint a band across the border of an image, so that it repeats without a seam: along both axes, or those
        of `tiling`.

        Args:
            image: As for `restyle`.
            prompt: What the picture shows.
        """
        return self.paint(MAKE_SEAMLESS, prompt, {"source": image}, on_event=on_event, **settings)

    def paint(self, task: str, prompt: str = "", pictures: Mapping[str, Picture] | None = None, *,
              size: tuple[int, int] | None = None, on_event: Emit | None = None, **settings: Any) -> list[Image.Image]:
        """Paint the pictures of any task.

        Args:
            task: Its name: one of `core.tasks.TASKS`.
            prompt: What the pictures should show.
            pictures: Its input pictures by their roles, `needs` of the task; each as for `restyle`.
            size: (width, height) in pixels; None for the source's, or else what the model was trained for.

        Returns:
            RGB images, RGBA where the source has alpha; of a grid, the contact sheet first.
        """
        def sized(width: int, height: int) -> dict[str, int]:
            return _size(size or (width, height))

        if size is not None:
            checked_size(size)
        return self._painted_from(task, prompt, pictures or {}, settings, on_event, sized, size)

    def _painted_from(self, task: str, prompt: str, pictures: Mapping[str, Picture], settings: dict[str, Any],
                 on_event: Emit | None, sized: _Sized, size: tuple[int, int] | None = None) -> list[Image.Image]:
        """Build the request and carry it out; where there is a source, with what `sized` makes of its size."""
        given = dict(settings)
        if not isinstance(task, str) or task not in TASKS:
            raise InvalidRequest(f"There is no task called {shown(task)}.", suggestion(str(task), TASKS))
        for name in ("width", "height"):
            if given.pop(name, None) is not None:
                raise InvalidRequest(f"There is no setting called '{name}'.", "Give `size`, where a task takes one.")
        check_names(task, given, ("reference",))
        reference = given.pop("reference", None)
        controls, regions = (_pairs(given.pop(name, None), name) for name in ("controls", "regions"))
        check_reference(reference, given)
        missing = [role for role in TASKS[task].needs if role not in pictures]
        if missing:
            raise InvalidRequest(f"The task {TASKS[task].label} needs a picture: {missing[0]}.")
        if size is not None and not TASKS[task].needs:
            given |= _size(size)
        look_ups = FolderLookUps(lambda: (), lambda: StyleFolder("", str(_STYLES)))
        parts = {name: [part for part, _ in pairs] for name, pairs in (("controls", controls), ("regions", regions))
                 if pairs}
        request = build(task, prompt, {**given, **parts}, look_ups).request
        all_pictures = {**pictures, **{f"control{number}": picture for number, (_, picture) in enumerate(controls)},
                        **{f"region{number}": picture for number, (_, picture) in enumerate(regions)},
                        **({"reference": reference} if reference is not None else {})}
        inputs = {role: Source(pixels=pixels_of(picture)) for role, picture in all_pictures.items()}
        if TASKS[task].needs:
            height, width = inputs["source"].pixels.shape[:2]
            request = request.changed(**sized(width, height))
        return self._pictures(request.with_inputs({role: source.digest() for role, source in inputs.items()}), inputs,
                              on_event)


def _size(size: tuple[int, int]) -> dict[str, int]:
    width, height = checked_size(size)
    return {"width": width, "height": height}


def _pairs(given: Any, what: str) -> list[tuple[Any, Picture]]:
    try:
        return [(part, picture) for part, picture in given or ()]
    except (TypeError, ValueError):
        raise InvalidRequest(f"{what} must be a list of {what} with their pictures, not {shown(given)}.") from None
