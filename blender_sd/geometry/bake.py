"""Bake pictures onto objects: from cameras and pictures to one image for each texture."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from . import fill, gather, harmonise, seams
from .blend import NO_VIEW, Blend
from .cells import divide
from .sheets import Layout, Sheet
from .slices import Cancelled, check, each, never
from .surface import Surface
from .texels import table
from .views import View, cast

_LEVEL = 12  # steps over which differences between views are levelled: about 30 texels

Progress = Callable[[float], None]


@dataclass(frozen=True)
class Settings:
    """How to bake.

    Attributes:
        soft: Pixels at edges that are not read: 1 for antialiased pictures, 0 for such that sample pixels' centres.
        harmonise: Whether to make the pictures' colours agree where they overlap.
        fill: Whether texels that no view sees take the colours of their surroundings.
        close_seams: Whether to make colours agree across the seams of UV islands.
        dilation: Texels round UV islands that get the border's colours.
    """

    soft: int = 1
    harmonise: bool = True
    fill: bool = True
    close_seams: bool = True
    dilation: int = seams.DILATION


@dataclass(frozen=True, eq=False)
class Baked:
    """The result for one sheet, row 0 on top.

    Attributes:
        sheet: The image's place.
        colours: H×W×3 float32, linear light.
        quality: H×W float32: of the best view, 0 where none sees the texel; beyond islands that of the nearest texel.
        view: H×W uint16: the number of the best view; 65535 for none.
        covered: H×W bool: texels of islands, conservative by one texel at borders.
        inside: H×W bool: texels whose centres lie on a triangle.
        set: H×W bool: texels with a colour.
    """

    sheet: Sheet
    colours: np.ndarray
    quality: np.ndarray
    view: np.ndarray
    covered: np.ndarray
    inside: np.ndarray
    set: np.ndarray


@dataclass(frozen=True)
class Report:
    """What to tell about a bake.

    Attributes:
        coverage: The share of the texels inside triangles that a view sees.
        overlapping: The number of texels that several triangles share.
        backs: The share of the pixels on objects that see the back of a face.
        blind: The numbers of views that see no texel.
    """

    coverage: float = 0.0
    overlapping: int = 0
    backs: float = 0.0
    blind: tuple[int, ...] = ()
    gains: tuple[tuple[float, ...], ...] = field(default=(), repr=False)


class Baker:
    """One bake, stage by stage; `run` does them all."""

    def __init__(self, surface: Surface, sheets: Sequence[Sheet], settings: Settings = Settings(),
                 cancelled: Cancelled = never, progress: Progress = lambda _share: None) -> None:
        """Prepare to bake onto `sheets`. `progress` is called with the share that is done, 0 to 1."""
        self.surface, self.settings = surface, settings
        self.layout = Layout(surface, tuple(sheets))
        self.cancelled, self.progress = cancelled, progress

    def run(self, views: Sequence[View], pictures: Sequence[np.ndarray]) -> tuple[list[Baked], Report]:
        """Bake the `pictures` (H×W×4 float32 in linear light, see `colours.linear`), one for each view.

        Raises:
            JobCancelled: It was cancelled.
            GeometryMissing: embreex is not installed.
            SourceUnusable: The UVs cannot be baked.
        """
        self.measure()
        self.progress(0.2)
        blend, report = self.gather(views, pictures)
        self.progress(0.8)
        return self.finish(blend), report

    def measure(self) -> None:
        """Make the texel table."""
        self.texels = table(self.layout, self.cancelled)

    def gather(self, views: Sequence[View], pictures: Sequence[np.ndarray]) -> tuple[Blend, Report]:
        """Read all pictures; of the triangles that share a texel, choose the one that is seen best."""
        prepared = Prepared(self.surface, views, pictures, self.settings.soft, self.cancelled)
        self.progress(0.3)
        self.cells = divide(self.texels)
        gains, offsets = self._levels(prepared)
        blend = Blend.empty(self.texels.count)
        blind = []
        for number in range(len(views)):
            blind.append(number)

            def take(reading: gather.Reading, number: int = number) -> None:
                if len(reading.entries):
                    colours = reading.colours * gains[number] + offsets[number]
                    blend.add(gather.Reading(reading.entries, colours, reading.quality), number)
                    blind[-1] = -1

            gather.read_all(self.texels, prepared[number], take, self.cancelled)
            self.progress(0.3 + 0.5 * (number + 1) / len(views))
        if self.texels.overlapping:
            blend = self._resolve(blend)
        inside = self.texels.inside
        return blend, Report(
            coverage=float(blend.seen[inside].mean()) if inside.any() else 0.0,
            overlapping=self.texels.overlapping,
            backs=prepared.backs,
            blind=tuple(number for number in blind if number >= 0),
            gains=tuple(tuple(row) for row in gains.tolist()),
        )

    def _levels(self, prepared: Prepared) -> tuple[np.ndarray, np.ndarray]:
        """Return the gain and offset of each view: V×3 float32 each."""
        gains, offsets = np.ones((len(prepared), 3)), np.zeros((len(prepared), 3))
        if self.settings.harmonise and len(prepared) > 1:
            sampled = harmonise.sample(self.texels)
            part = self.texels.chosen(sampled.entries)
            readings = [gather.read_part(part, prepared[number]) for number in range(len(prepared))]
            check(self.cancelled)
            gains, offsets = harmonise.solve(sampled, readings)
        return gains.astype(np.float32), offsets.astype(np.float32)

    def _resolve(self, blend: Blend) -> Blend:
        """Keep one entry for each texel, that which is seen best; change the table."""
        texel = self.texels.texel
        shared = np.flatnonzero(np.bincount(texel, minlength=int(self.layout.starts[-1]))[texel] > 1)
        order = shared[np.lexsort((blend.quality[shared], texel[shared]))]
        lost = order[:-1][texel[order[1:]] == texel[order[:-1]]]
        keep = np.delete(np.arange(len(texel)), lost)
        self.texels = self.texels.chosen(keep)
        self.cells = self.cells.chosen(self.texels, keep)
        return blend.chosen(keep)

    def finish(self, blend: Blend) -> list[Baked]:
        """Level what is left between the views, fill, close the seams and continue the islands beyond their borders."""
        seen = blend.seen
        colours = self._levelled(blend)
        known = fill.fill(self.texels, colours, seen, self.cancelled) if self.settings.fill else seen
        self.progress(0.9)
        if self.settings.close_seams:
            seams.close(self.texels, colours, blend.quality, known, self.cancelled)
        baked = [self._image(number, blend, colours, known) for number in range(len(self.layout.sheets))]
        for one in baked:
            check(self.cancelled)
            rows, columns, *source = seams.dilation(one.set, self.settings.dilation)
            beyond = ~one.covered[rows, columns]  # what no view sees of an island is no margin
            rows, columns, source = rows[beyond], columns[beyond], [part[beyond] for part in source]
            for values in (one.colours, one.quality):
                values[rows, columns] = values[tuple(source)]
            one.set[rows, columns] = True
        self.progress(1.0)
        return baked

    def _levelled(self, blend: Blend) -> np.ndarray:
        """Return the best view's colours, corrected at low frequencies towards the mean of all: N×3 float32."""
        colours, seen = np.empty((self.texels.count, 3), np.float32), blend.seen
        several = (seen & (blend.view != blend.view.min(initial=NO_VIEW))).any()
        if not several:  # a single view has nothing to be levelled to
            return blend.best()
        change = np.empty_like(colours)

        def differences(part: slice) -> None:
            colours[part] = blend.best(part)
            change[part] = blend.mean(part) - colours[part]

        each(differences, len(colours), self.cancelled)
        smooth = self.cells.spread(*self.cells.mean(change, seen), _LEVEL)

        def level(part: slice) -> None:
            colours[part] += np.where(seen[part, None], self.cells.at(smooth, part), 0)

        each(level, len(colours), self.cancelled)
        return colours

    def _image(self, number: int, blend: Blend, colours: np.ndarray, known: np.ndarray) -> Baked:
        sheet, start = self.layout.sheets[number], int(self.layout.starts[number])
        size = sheet.width * sheet.height
        mine = np.flatnonzero((self.texels.texel >= start) & (self.texels.texel < start + size))
        texel = self.texels.texel[mine] - start

        def image(values: np.ndarray, empty: object) -> np.ndarray:
            result = np.full((size, *values.shape[1:]), empty, values.dtype)
            result[texel] = values[mine]
            return result.reshape(sheet.height, sheet.width, *values.shape[1:])

        return Baked(sheet, image(colours, 0), image(blend.quality, 0), image(blend.view, NO_VIEW),
                     image(np.ones(self.texels.count, bool), False), image(self.texels.inside, False),
                     image(known, False))


class Prepared:
    """Pictures with what their pixels see; few are kept ready, of many one at a time is made ready."""

    def __init__(self, surface: Surface, views: Sequence[View], pictures: Sequence[np.ndarray], soft: int,
                 cancelled: Cancelled = never) -> None:
        self._surface, self._pictures, self._soft = surface, pictures, soft
        self._views = [view.in_box(surface) for view in views]
        self._triangles = [cast(surface, view, cancelled) for view in self._views]
        self._reference = float(np.median([_density(view) for view in self._views]))
        self._kept: dict[int, gather.Picture] = {}
        self._keep = sum(view.width * view.height for view in self._views) <= _KEPT
        self._seen = self._backs = 0

    def __len__(self) -> int:
        return len(self._views)

    def __getitem__(self, number: int) -> gather.Picture:
        picture = self._kept.get(number)
        if picture is None:
            picture = gather.prepare(self._surface, self._views[number], self._pictures[number],
                                     self._triangles[number], self._soft, self._reference)
            self._seen += int(np.count_nonzero(self._triangles[number] >= 0))
            self._backs += picture.hits.backs
            if self._keep:
                self._kept[number] = picture
        return picture

    @property
    def backs(self) -> float:
        """The share of the pixels on objects that see the back of a face."""
        return self._backs / max(1, self._seen)


def _density(view: View) -> float:
    """Return the pixels per unit of length in the middle of the unit box."""
    if not view.perspective:
        return view.scales()
    return view.scales() / max(0.1, float(np.linalg.norm(view.origin)))


_KEPT = 1 << 24  # pixels of all pictures up to which they are kept ready: about half a gigabyte
