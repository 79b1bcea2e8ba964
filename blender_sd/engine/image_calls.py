"""The engine's calls that return PIL images, with no session and no Blender.

They build requests as Blender's calls do, so that the same keywords give the same pixels.
"""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..core.request import Request
from ..core.request_builder import build
from ..core.tasks import IMAGE_TO_IMAGE, INPAINT, MAKE_SEAMLESS, OUTPAINT, TEXT_TO_IMAGE, UPSCALE
from ..library.look_ups import FolderLookUps
from ..library.styles import StyleFolder
from ..protocol import picture_arrays
from ..protocol.messages import Source
from .painter import Emit

_STYLES = Path(__file__).resolve().parent.parent / "styles"
Picture = Image.Image | np.ndarray


class ImageCalls:
    """One method per task. `Engine` adds how requests are carried out.

    All take `settings`: the settings of all requests and of the task (`core.common_settings`, `core.tasks`) by their
    names, with models, LoRAs and other nets given by their paths; what is left open is filled in as by Blender's calls.
    `controls` are pairs of a `core.parts.Control` and a picture, `reference` is a picture for `ip_adapter`. `on_event`
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
        if size is not None:
            settings |= {"width": size[0], "height": size[1]}
        return self._painted_from(TEXT_TO_IMAGE, prompt, {}, settings, on_event)

    def restyle(self, image: Picture, prompt: str, *, size: tuple[int, int] | None = None,
                on_event: Emit | None = None, **settings: Any) -> list[Image.Image]:
        """Paint pictures from an image.

        Args:
            image: PIL image of any mode, or an array (`protocol.picture_arrays`);
                sRGB, row 0 on top, straight alpha, which the results keep.
            prompt: What the pictures should show.
            size: (width, height) in pixels; None for the image's own.
        """
        return self._painted_from(IMAGE_TO_IMAGE, prompt, {"source": image}, settings, on_event, size)

    def upscale(self, image: Picture, prompt: str = "", *, scale: float = 2.0, on_event: Emit | None = None,
                **settings: Any) -> Image.Image:
        """Enlarge an image and refine it in tiles.

        Args:
            image: As for `restyle`.
            prompt: What the picture shows.
            scale: The factor of both sides.
        """
        height, width = (round(side * scale) for side in pixels_of(image).shape[:2])
        return self._painted_from(UPSCALE, prompt, {"source": image}, settings, on_event, (width, height))[0]

    def inpaint(self, image: Picture, mask: Picture, prompt: str, *, on_event: Emit | None = None,
                **settings: Any) -> list[Image.Image]:
        """Repaint the masked part of an image; every other pixel stays as it was.

        Args:
            image: As for `restyle`.
            mask: Array or PIL image; white is repainted.
            prompt: What the pictures should show.
        """
        return self._painted_from(INPAINT, prompt, {"source": image, "mask": mask}, settings, on_event)

    def outpaint(self, image: Picture, prompt: str, *, on_event: Emit | None = None,
                 **settings: Any) -> list[Image.Image]:
        """Paint beyond the borders of an image.

        Args:
            image: As for `restyle`.
            prompt: What the pictures should show.
        """
        height, width = pixels_of(image).shape[:2]
        left, right, top, bottom = (settings.get(side) or 0 for side in ("left", "right", "top", "bottom"))
        return self._painted_from(OUTPAINT, prompt, {"source": image}, settings, on_event,
                                  (width + left + right, height + top + bottom))

    def make_seamless(self, image: Picture, prompt: str = "", *, tiling: str = "xy", on_event: Emit | None = None,
                      **settings: Any) -> list[Image.Image]:
        """Repaint a band across the border of an image, so that it repeats without a seam.

        Args:
            image: As for `restyle`.
            prompt: What the picture shows.
            tiling: The axes along which it repeats: x, y or xy.
        """
        return self._painted_from(MAKE_SEAMLESS, prompt, {"source": image}, {**settings, "tiling": tiling}, on_event)

    def _painted_from(self, task: str, prompt: str, pictures: dict[str, Picture], settings: dict[str, Any],
                      on_event: Emit | None, size: tuple[int, int] | None = None) -> list[Image.Image]:
        """Return the pictures of a task over input pictures by role, of the source's size unless `size` is given."""
        given = dict(settings)
        controls = list(given.pop("controls", None) or ())
        reference = given.pop("reference", None)
        pictures = {**pictures, **{f"control{number}": picture for number, (_, picture) in enumerate(controls)},
                    **({"reference": reference} if reference is not None else {})}
        inputs = {role: Source(pixels=pixels_of(picture)) for role, picture in pictures.items()}
        look_ups = FolderLookUps(lambda: (), lambda: StyleFolder("", str(_STYLES)))
        request = build(task, prompt, {**given, "controls": [control for control, _ in controls]}, look_ups).request
        if "source" in inputs:
            width, height = size or inputs["source"].pixels.shape[1::-1]
            request = request.changed(width=width, height=height)
        return self._pictures(request.with_inputs({role: source.digest() for role, source in inputs.items()}), inputs,
                              on_event)


def pixels_of(image: Picture) -> np.ndarray:
    """Return an image as H×W×4 uint8, the form in which sources travel."""
    return picture_arrays.pixels_of(image)
