"""Pictures → images of objects: what `geometry` bakes, with the settings of a request and what Blender handed over."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from PIL import Image

from ...core.errors import SourceUnusable
from ...core.roles import BASE_COLOUR
from ...core.tasks import Bake
from ...geometry import colours, compose, debug, memory
from ...geometry.bake import Baked, Baker, Repaint, Report, Settings
from ...geometry.gather import FADE
from ...geometry.sheets import Sheet
from ...geometry.surface import Mesh, Surface
from ...geometry.views import View
from ...protocol.messages import Source
from ...protocol.surfaces import Lens, Onto, Scenery
from ..conditioning import sources
from ..memory import devices

_FIRST_TILE = 1001
_FADE = 6.0  # pixels over which a single picture, whose edges no other view covers, fades into what exists
_BACKS = 0.3  # the share of pixels that see backs of faces from which that is worth a word


def sources_of(scenery: Scenery, inputs: dict[str, Source]) -> list[Image.Image]:
    """Return the pictures of a bake, RGBA: the inputs "view0", "view1", …, one for each camera.

    Raises:
        SourceUnusable: One is missing or broken.
    """
    result = []
    for number in range(len(scenery.lenses)):
        picture, alpha = sources.open_source(inputs.get(f"view{number}"))
        picture = picture.convert("RGBA")
        if alpha is not None:
            picture.putalpha(alpha)
        result.append(picture)
    return result


def bake(scenery: Scenery, pictures: Sequence[Image.Image], settings: Bake, inputs: dict[str, Source],
         cancelled: Callable[[], bool], progress: Callable[[float], None], note: Callable[[str], None],
         agreed: bool = False, repaint: Repaint | None = None) -> Iterator[tuple[str, Image.Image]]:
    """Yield the baked images in the order of `Scenery.sheets`, then the pictures about them: each with its role; RGBA,
    sRGB, straight alpha.

    Without filling, they fade into the inputs "existing0", "existing1", …, or else lie on the sheet's background;
    white parts of the inputs "locked0", "locked1", …, or else of "locked" for all, keep what they have.

    Args:
        scenery: What is baked onto, and the cameras.
        pictures: One for each camera; of any size, since a camera's picture may be painted smaller.
        settings: How.
        inputs: The request's input pictures by role.
        cancelled: Returns whether to stop.
        progress: Called with the share that is done, 0 to 1.
        note: Called with what the artist should know.
        agreed: See `Settings`.
        repaint: See `Baker`.

    Raises:
        JobCancelled: It was cancelled.
        OutOfMemory: It would not fit; nothing has begun.
        SourceUnusable: No picture shows the objects, or meshes or pictures are broken.
        GeometryMissing: embreex is not installed.
    """
    sheets = [sheet_of(onto) for onto in scenery.sheets]
    pixels = sum(picture.width * picture.height for picture in pictures)
    memory.check(sheets, pixels, len(scenery.triangles.triangles), devices.free_ram())
    given = scenery.triangles
    surface = Surface(Mesh(given.vertices, given.triangles, given.uv, given.objects, given.textures))
    chosen = Settings(settings.soft, settings.harmonise, settings.fill, settings.close_seams, settings.dilation,
                      FADE if len(pictures) > 1 else _FADE, agreed)
    views = [view_of(lens, picture.size) for lens, picture in zip(scenery.lenses, pictures, strict=True)]
    baker = Baker(surface, sheets, chosen, cancelled, progress, repaint)
    baked, report = baker.run(
        views, [colours.linear(np.asarray(picture.convert("RGBA"))) for picture in pictures])
    tell(report, len(pictures), note)
    for number, (one, onto) in enumerate(zip(baked, scenery.sheets)):
        keep = kept_by(inputs.get(f"locked{number}", inputs.get("locked")), onto)
        existing = inputs.get(f"existing{number}") if keep is not None or not settings.fill else None
        share = share_of(one, keep, settings.fill or existing is None)
        yield BASE_COLOUR, Image.fromarray(laid(one, onto, existing, share))
    for kind in scenery.debug:
        for number, one in enumerate(baked):
            yield kind, Image.fromarray(debug.picture(kind, one, baker.layout, number))


def sheet_of(onto: Onto) -> Sheet:
    """Return an image that is baked, as `geometry` knows it."""
    tile = onto.udim - _FIRST_TILE
    return Sheet(onto.texture, onto.width, onto.height, (tile % 10, tile // 10) if onto.udim else None, onto.turn)


def view_of(lens: Lens, size: tuple[int, int]) -> View:
    """Return a camera for a picture of `size` (width, height), which shows all that the lens does."""
    across, down = size[0] / lens.width, size[1] / lens.height
    return View(np.array(lens.origin), np.array(lens.axes).reshape(3, 3), (lens.scale_x * across, lens.scale_y * down),
                (lens.centre_x * across, lens.centre_y * down), *size, lens.perspective, lens.near, lens.far)


def laid(baked: Baked, onto: Onto, existing: Source | None, share: np.ndarray) -> np.ndarray:
    """Return a sheet's image, H×W×4 uint8: over what exists, or the background, by the share of `share_of`."""
    if existing is not None:
        picture, alpha = sources.resized(*sources.open_source(existing), (onto.width, onto.height))
        under = np.asarray(picture.convert("RGBA")).copy()
        if alpha is not None:
            under[..., 3] = np.asarray(alpha)
    else:
        under = np.full((onto.height, onto.width, 4), 255, np.uint8)
        under[..., :3] = colours.displayed(np.array(onto.background[:3]))
    return compose.into(under, baked, share)


def kept_by(locked: Source | None, onto: Onto) -> np.ndarray | None:
    """Return the texels of a sheet that keep what they have, H×W bool; None if that is none."""
    if locked is None:
        return None
    mask = sources.resized(*sources.open_source(locked), (onto.width, onto.height))[0]
    return np.asarray(mask.convert("L")) >= 128


def share_of(baked: Baked, keep: np.ndarray | None, whole: bool) -> np.ndarray:
    """Return the share that each texel takes of what is baked, H×W float32: all, or as it fades into what exists."""
    if not whole:
        return compose.weights(baked, keep)
    return (baked.set if keep is None else baked.set & ~keep).astype(np.float32)


def tell(report: Report, count: int, note: Callable[[str], None]) -> None:
    """Note what went wrong. Raise SourceUnusable if nothing is seen at all."""
    backs = report.backs > _BACKS
    if len(report.blind) == count:
        why = ("The faces show their backs: turn them (Mesh ▸ Normals ▸ Recalculate Outside)." if backs else
               "Turn the camera to the objects, and move away what hides them.")
        raise SourceUnusable("No picture shows any of the objects.", why)
    if report.blind:
        numbers = ", ".join(str(number + 1) for number in report.blind)
        note(f"Nothing of the objects is seen in picture {numbers}.")
    if backs:
        note("Many faces show their backs, which take no colour: turn them (Mesh ▸ Normals ▸ Recalculate Outside).")
    if report.overlapping:
        note(f"The UVs overlap on {report.overlapping:,} texels; the face that is seen best wins there.")
