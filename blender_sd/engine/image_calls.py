"""The engine's calls that return PIL images, with no session and no Blender."""
from __future__ import annotations

import random
from typing import Any

import numpy as np
from PIL import Image

from ..core import request as defaults
from ..core.request import IMAGE_TO_IMAGE, INPAINT, MAKE_SEAMLESS, OUTPAINT, PANEL_SEED, TEXT_TO_IMAGE, UPSCALE, Request
from ..protocol import picture_arrays
from ..protocol.messages import Source
from .models.cache import Model
from .painter import Emit


class ImageCalls:
    """One method per task. `Engine` adds how models are loaded and requests carried out."""

    def _load(self, model: str) -> Model:
        """Return the model that a request calls `model`, loaded if necessary."""
        raise NotImplementedError

    def _pictures(self, request: Request, inputs: dict[str, Source], on_event: Emit | None) -> list[Image.Image]:
        """Return the pictures of a request with these input pictures by role."""
        raise NotImplementedError

    def generate(self, prompt: str, *, negative: str = "", seed: int | None = None,
                 steps: int = defaults.default("steps"),
                 guidance: float = defaults.default("guidance"), size: tuple[int, int] | None = None,
                 sampler: str = defaults.default("sampler"), model: str = "starter", count: int = 1,
                 tiling: str = "none",
                 on_event: Emit | None = None) -> list[Image.Image]:
        """Paint pictures from text.

        Args:
            prompt: What the pictures should show.
            negative: What they should not show.
            seed: The first picture's seed, 0 to 2³¹ - 1; None for a random one.
            steps: Denoising steps.
            guidance: CFG scale.
            size: (width, height) in pixels; None for what the model was trained for.
            sampler: The sampler's id (`core.samplers`).
            model: "starter", or the path of a model's folder or file.
            count: Number of pictures.
            tiling: Axes along which the pictures repeat: none, x, y or xy.
            on_event: Receives loading, steps and notes.

        Returns:
            RGB images; `image.info["blender_sd"]` holds each picture's whole request.

        Raises:
            SDError: The request cannot be carried out.
        """
        width, height = size or self._load(model).default_size
        request = Request(TEXT_TO_IMAGE, prompt, negative, model, width, height, steps, guidance, sampler, _seed(seed),
                          count=count,
                          tiling=tiling)
        return self._pictures(request, {}, on_event)

    def restyle(self, image: Image.Image | np.ndarray, prompt: str, *, strength: float = 0.5, negative: str = "",
                seed: int | None = None, steps: int = defaults.default("steps"),
                guidance: float = defaults.default("guidance"),
                size: tuple[int, int] | None = None, sampler: str = defaults.default("sampler"), model: str = "starter",
                count: int = 1, tiling: str = "none", on_event: Emit | None = None) -> list[Image.Image]:
        """Paint pictures from an image.

        Args:
            image: PIL image of any mode, or an array (`protocol.picture_arrays`);
                sRGB, row 0 on top, straight alpha, which the results keep.
            prompt: What the pictures should show.
            strength: How far to depart from the image; 0 returns its pixels, 1 ignores it.
            size: (width, height) in pixels; None for the image's own.
            on_event: Receives loading, steps and notes.

        The other arguments, results and errors are those of `generate`.
        """
        source = Source(pixels=pixels_of(image))
        height, width = source.pixels.shape[:2]
        width, height = size or (width, height)
        request = Request(IMAGE_TO_IMAGE, prompt, negative, model, width, height, steps, guidance, sampler, _seed(seed),
                          count=count,
                          tiling=tiling, strength=strength, source=source.digest())
        return self._pictures(request, {"source": source}, on_event)

    def upscale(self, image: Image.Image | np.ndarray, prompt: str = "", *, scale: float = 2.0,
                strength: float = defaults.default("refine_strength"), tile: int | None = None,
                on_event: Emit | None = None,
                **settings: Any) -> Image.Image:
        """Enlarge an image and refine it in tiles.

        Args:
            image: As for `restyle`.
            prompt: What the picture shows.
            scale: The factor of both sides.
            strength: How far the refining may depart from the enlarged image, 0 to 1.
            tile: Side of a tile in pixels; None for the size that the model was trained for.
            on_event: Receives loading, steps and notes.
            settings: Other fields of `Request`.

        Raises:
            SDError: The request cannot be carried out.
        """
        source = Source(pixels=pixels_of(image))
        height, width = (round(side * scale) for side in source.pixels.shape[:2])
        return self._from_image(UPSCALE, source, prompt, on_event,
                                {**settings, "width": width, "height": height, "strength": strength,
                                                                    "tile": tile})[0]

    def inpaint(self, image: Image.Image | np.ndarray, mask: Image.Image | np.ndarray, prompt: str, *,
                strength: float = 1.0,
                on_event: Emit | None = None, **settings: Any) -> list[Image.Image]:
        """Repaint the masked part of an image; every other pixel stays as it was.

        Args:
            image: As for `restyle`.
            mask: array or PIL image; white is repainted.
            prompt: What the pictures should show.
            strength: How far to depart from the image under the mask, 0 to 1.
            on_event: Receives loading, steps and notes.
            settings: Other fields of `Request`, such as `mask_feather`, `count`.

        Raises:
            SDError: The request cannot be carried out.
        """
        inputs = {"mask": Source(pixels=pixels_of(mask))}
        return self._from_image(INPAINT, Source(pixels=pixels_of(image)), prompt, on_event,
                                {**settings, "strength": strength}, inputs)

    def outpaint(self, image: Image.Image | np.ndarray, prompt: str, *, left: int = 0, right: int = 0, top: int = 0,
                 bottom: int = 0,
                 overlap: int = 8, strength: float = 1.0, on_event: Emit | None = None,
                 **settings: Any) -> list[Image.Image]:
        """Paint beyond the borders of an image.

        Args:
            image: As for `restyle`.
            prompt: What the pictures should show.
            left: Pixels to add on the left.
            right: Pixels to add on the right.
            top: Pixels to add at the top.
            bottom: Pixels to add at the bottom.
            overlap: Pixels inside the borders that are repainted and blended.
            strength: How far to depart from what fills the new parts, 0 to 1.
            on_event: Receives loading, steps and notes.
            settings: Other fields of `Request`.

        Raises:
            SDError: The request cannot be carried out.
        """
        source = Source(pixels=pixels_of(image))
        height, width = source.pixels.shape[:2]
        margins = {"expand_left": left, "expand_right": right, "expand_top": top, "expand_bottom": bottom}
        return self._from_image(OUTPAINT, source, prompt, on_event, {
            **settings, **margins, "width": width + left + right, "height": height + top + bottom, "strength": strength,
            "mask_grow": overlap, "mask_feather": overlap})

    def make_seamless(self, image: Image.Image | np.ndarray, prompt: str = "", *, tiling: str = "xy",
                      strength: float = 0.75,
                      on_event: Emit | None = None, **settings: Any) -> list[Image.Image]:
        """Repaint a band across the border of an image, so that it repeats without a seam.

        Args:
            image: As for `restyle`.
            prompt: What the picture shows.
            tiling: The axes along which it repeats: x, y or xy.
            strength: How far to depart from the image in the band, 0 to 1.
            on_event: Receives loading, steps and notes.
            settings: Other fields of `Request`, such as `band`.

        Raises:
            SDError: The request cannot be carried out.
        """
        return self._from_image(MAKE_SEAMLESS, Source(pixels=pixels_of(image)), prompt, on_event,
                                {**settings, "strength": strength, "tiling": tiling})

    def _from_image(self, task: str, source: Source, prompt: str, on_event: Emit | None, settings: dict[str, Any],
                    inputs: dict[str, Source] | None = None) -> list[Image.Image]:
        """Return the pictures of a task over `source`, of its size unless `settings` has another."""
        inputs = {"source": source, **(inputs or {})}
        model = settings.setdefault("model", "starter")
        settings["seed"] = _seed(settings.get("seed"))
        settings["tile"] = settings.get("tile") or self._load(model).default_size[0]
        settings.setdefault("width", source.pixels.shape[1])
        settings.setdefault("height", source.pixels.shape[0])
        request = Request(task=task, prompt=prompt, **settings)
        return self._pictures(request.with_inputs({role: source.digest() for role, source in inputs.items()}), inputs,
                              on_event)


def _seed(seed: int | None) -> int:
    return random.SystemRandom().randint(0, PANEL_SEED) if seed is None else seed


def pixels_of(image: Image.Image | np.ndarray) -> np.ndarray:
    """Return an image as H×W×4 uint8, the form in which sources travel."""
    return picture_arrays.pixels_of(image)
