"""An object seen from every side: its views, what they show already, and what ControlNets read of them."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
from PIL import Image

from ...core.errors import InvalidRequest, SourceUnusable
from ...core.request import Request
from ...geometry import cameras, memory, showing
from ...geometry.agreement import Sight, look
from ...geometry.surface import Mesh, Surface
from ...geometry.views import View
from ...protocol.messages import Source
from ...protocol.surfaces import Lens, Scenery
from ..conditioning import sources
from ..memory import devices
from .bake import sheet_of, view_of

_GREY = 127.5  # round the objects, and where they have no texture yet
_PREVIEW = 256  # texels of the texture that previews show
_MIDDLE = 1e-6  # of the unit box: views this near to the mirror are on it
_REACH = 4  # texels that previews fill round what was seen


class Stage:
    """The objects with their views.

    Attributes:
        surface: The triangles.
        views: In the unit box, all of one size.
        words: For each view the words that name its side.
    """

    def __init__(self, scenery: Scenery, request: Request, inputs: dict[str, Source], multiple: int,
                 cancelled: Callable[[], bool]) -> None:
        """Choose the views.

        Args:
            scenery: The objects; its cameras, or none to look from all sides.
            request: A request for one texture, whose task is TextureObject.
            inputs: "existing0", …: what the textures show now; "mask0", …: white where they are repainted.
            multiple: Pixels that both sides of a view must be multiples of.
            cancelled: Returns whether to stop.

        Raises:
            SourceUnusable: The cameras see nothing, or the mask is empty.
            OutOfMemory: So many views of that size do not fit.
        """
        given = scenery.triangles
        self._scenery, self._inputs, self._cancelled = scenery, inputs, cancelled
        self.surface = Surface(Mesh(given.vertices, given.triangles, given.uv, given.objects, given.textures))
        self.sheets = [sheet_of(onto) for onto in scenery.sheets]
        width, height = (max(multiple, side // multiple * multiple) for side in (request.width, request.height))
        if scenery.lenses:
            self.views = [view_of(lens, (width, height)).in_box(self.surface) for lens in scenery.lenses]
        else:
            side = min(width, height)
            views = cameras.sides(self.surface, side, sides_of(request.task.sides))
            self.views = cameras.completed(self.surface, views, request.task.more_views, side, cancelled=cancelled)
        if request.task.mirror:
            self.views = [view for view in self.views if view.origin[0] >= -_MIDDLE]
        if request.task.look:
            self.views = self.views[:1]
        self.words = cameras.named(self.views)
        memory.check_views(len(self.views), *self.size, devices.free_ram())
        if not any(len(sight.pixel) for sight in self.sights):
            raise SourceUnusable("No view sees any of the objects.", "Turn the cameras to the objects.")

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the views in pixels."""
        return self.views[0].width, self.views[0].height

    @cached_property
    def sights(self) -> list[Sight]:
        """What each view's pixels see."""
        return [look(self.surface, view, self._cancelled) for view in self.views]

    def lenses(self) -> tuple[Lens, ...]:
        """Return the views as cameras in the world."""
        return tuple(_lens(view, self.surface) for view in self.views)

    def put_together(self, number: int, picture: Image.Image, other: Image.Image, textures: Sequence[int]
                     ) -> Image.Image:
        """Return a view's `picture` with that of `other` where `textures` are seen."""
        sight = self.sights[number]
        chosen = sight.pixel[np.isin(self.surface.textures[sight.triangle], list(textures))]
        pixels = np.asarray(picture).reshape(-1, 3).copy()
        pixels[chosen] = np.asarray(other).reshape(-1, 3)[chosen]
        return Image.fromarray(pixels.reshape(picture.height, picture.width, 3))

    def mirrored(self, pictures: Sequence[Image.Image]) -> tuple[list[Image.Image], tuple[Lens, ...]]:
        """Return pictures and cameras with their mirror images (world X); pictures of the middle are made even."""
        whole: list[Image.Image] = []
        lenses: list[Lens] = []
        for view, picture in zip(self.views, pictures):
            flipped = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            if abs(view.origin[0]) <= _MIDDLE:
                pixels, other = np.asarray(picture).copy(), np.asarray(flipped)
                left = self._left(view)
                pixels[:, left] = other[:, left]
                whole.append(Image.fromarray(pixels))
                lenses.append(_lens(view, self.surface))
                continue
            turn = np.array([-1.0, 1.0, 1.0])
            axes = view.axes * turn * np.array([[-1.0], [1.0], [1.0]])
            twin = replace(view, origin=view.origin * turn, axes=axes, centre=(view.width - view.centre[0],
                                                                             view.centre[1]))
            whole += [picture, flipped]
            lenses += [_lens(view, self.surface), _lens(twin, self.surface)]
        return whole, tuple(lenses)

    def _left(self, view: View) -> np.ndarray:
        """Return the columns of a view of the middle that show the mirrored half, negative x."""
        column = np.arange(view.width) + 0.5 - view.centre[0]
        return column * view.axes[0, 0] < 0

    def textured(self) -> list[Image.Image]:
        """Return what each view shows of the textures that the objects have, unlit; grey where there are none."""
        images = [self._existing(number) for number in range(len(self.sheets))]
        return [Image.fromarray(np.rint(showing.textured(
            self.surface, sight, self.sheets, images, np.full(3, _GREY))[0]).astype(np.uint8)) for sight in self.sights]

    @property
    def masked(self) -> bool:
        """Whether only a part of the textures is repainted."""
        return any(role.startswith("mask") for role in self._inputs)

    def masks(self) -> list[np.ndarray]:
        """Return for each view where it is repainted: H×W bool.

        Raises:
            SourceUnusable: That is nowhere.
        """
        images = [self._mask(number) for number in range(len(self.sheets))]
        result = [showing.textured(self.surface, sight, self.sheets, images, np.zeros(1))[0][..., 0] >= 128
                  for sight in self.sights]
        if not any(mask.any() for mask in result):
            raise SourceUnusable("The mask covers nothing that the views see.", "Paint or choose another mask.")
        return result

    def locked(self) -> dict[str, Source]:
        """Return the inputs of the bake that keep what is not repainted."""
        result = {}
        for number, sheet in enumerate(self.sheets):
            mask = self._mask(number)
            if self.masked:
                kept = np.zeros((sheet.height, sheet.width, 1), np.uint8) if mask is None else mask
                result[f"locked{number}"] = Source(pixels=np.dstack([255 - kept] * 3 + [np.full_like(kept, 255)]))
        return result

    def controls(self, kind: str) -> tuple[Image.Image, ...]:
        """Return what a ControlNet reads of each view. Raise InvalidRequest for a kind that no geometry shows."""
        draw = showing.CONTROLS.get(kind)
        if draw is None:
            raise InvalidRequest(f"Views have no {kind} pictures.", f"Use one of: {', '.join(showing.CONTROLS)}.")
        return tuple(Image.fromarray(draw(sight)) for sight in self.sights)

    def _existing(self, number: int) -> np.ndarray | None:
        source = self._inputs.get(f"existing{number}")
        return None if source is None else np.asarray(sources.open_source(source)[0])

    def _mask(self, number: int) -> np.ndarray | None:
        source = self._inputs.get(f"mask{number}")
        if source is None:
            return None
        picture, alpha = sources.resized(*sources.open_source(source), (
            self.sheets[number].width, self.sheets[number].height))
        grey = np.asarray(picture.convert("L"), np.uint8)
        return (grey if alpha is None else np.minimum(grey, np.asarray(alpha)))[..., None]


class MeshPreview:
    """Show the first texture while it is painted, from small pictures of the views."""

    def __init__(self, stage: Stage, scale: int) -> None:
        """Find which small pixel each texel shows.

        Args:
            stage: The objects.
            scale: Pixels of a view that are one of a small picture.
        """
        from scipy.ndimage import distance_transform_edt

        size = _PREVIEW
        best, pixel = np.zeros(size * size, np.float32), np.full(size * size, -1, np.int64)
        sheet = stage.sheets[0]
        for number, sight in enumerate(stage.sights):
            chosen = np.flatnonzero(stage.surface.textures[sight.triangle] == sheet.texture)
            uv = showing.coordinates(stage.surface, sight)[chosen] % 1.0
            texel = ((1 - uv[:, 1]) * size).astype(np.int64).clip(0, size - 1) * size + (
                uv[:, 0] * size).astype(np.int64).clip(0, size - 1)
            row, column = np.divmod(sight.pixel[chosen], sight.view.width)
            rows, columns = sight.view.height // scale, sight.view.width // scale
            small = (number * rows + np.minimum(row // scale, rows - 1)) * columns + np.minimum(column // scale,
                                                                                               columns - 1)
            quality = sight.facing()[chosen]
            order = np.argsort(quality, kind="stable")
            better = quality[order] > best[texel[order]]
            best[texel[order][better]], pixel[texel[order][better]] = quality[order][better], small[order][better]
        away, nearest = distance_transform_edt((pixel < 0).reshape(size, size), return_indices=True)
        self._pixel = pixel.reshape(size, size)[tuple(nearest)]
        self._known = away <= _REACH

    def picture(self, small: np.ndarray) -> np.ndarray:
        """Return the texture, h×w×3 uint8, row 0 on top, from V×h×w×3 pictures of the views."""
        result = np.full((_PREVIEW, _PREVIEW, 3), 60, np.uint8)
        result[self._known] = small.reshape(-1, 3)[self._pixel[self._known]]
        return result


def sides_of(names: str) -> Sequence[str]:
    """Return the names of sides, all for none. Raise InvalidRequest for an unknown one."""
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    for name in wanted:
        if name not in cameras.SIDES:
            raise InvalidRequest(f"There is no side called '{name:.40}'.", f"Sides: {', '.join(cameras.SIDES)}.")
    return wanted or cameras.SIDES


def contact_sheet(pictures: Sequence[Image.Image]) -> Image.Image:
    """Return the views side by side, in two rows."""
    columns = -(-len(pictures) // 2)
    small = [picture.copy() for picture in pictures]
    for picture in small:
        picture.thumbnail((384, 384))
    width, height = small[0].size
    sheet = Image.new("RGB", (columns * width, 2 * height if len(small) > 1 else height))
    for number, picture in enumerate(small):
        sheet.paste(picture, (number % columns * width, number // columns * height))
    return sheet


def _lens(view: View, surface: Surface) -> Lens:
    factor = surface.scale
    scale = view.scale if view.perspective else (view.scale[0] / factor, view.scale[1] / factor)
    return Lens(tuple(map(float, view.origin * factor + surface.centre)), tuple(map(float, view.axes.ravel())),
                float(scale[0]), float(scale[1]), float(view.centre[0]), float(view.centre[1]), view.width, view.height,
                view.perspective, float(view.near * factor), float(min(view.far * factor, 1e9)))
