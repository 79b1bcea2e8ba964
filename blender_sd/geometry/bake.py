"""Bake pictures onto objects: from cameras and pictures to one image for each texture."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from . import closing, fill, gather, harmonise, seams
from .blend import NO_VIEW, Blend
from .cells import divide
from .colours import displayed, linear
from .gather import Picture
from .memory import HELD
from .sheets import Layout, Sheet
from .slices import Cancelled, Progress, check, each, never, together, unwatched
from .surface import Surface
from .texels import table
from .views import View, cast

_LEVEL = 12  # steps over which differences between views are levelled: about 30 texels
_REACH = 8  # texels over which what is corrected where the best view changes falls to a third
_READ = 1 << 16  # entries that are read from all pictures in turn

# Called with the number of a sheet, its picture (H×W×3 uint8 sRGB, row 0 on top) and which of its texels no view saw
# (H×W bool); returns the picture to go on with, or None for the same.
Repaint = Callable[[int, np.ndarray, np.ndarray], np.ndarray | None]


@dataclass(frozen=True)
class Settings:
    """How to bake.

    Attributes:
        soft: Pixels at edges that are not read: 1 for antialiased pictures, 0 for such that sample pixels' centres.
        harmonise: Whether to make the pictures' colours agree where they overlap.
        fill: Whether texels that no view sees take the colours of their surroundings.
        close_seams: Whether to make colours agree across the seams of UV islands.
        dilation: Texels round UV islands that get the border's colours.
        fade: Pixels from an edge at which a view's quality is full.
        agreed: Whether the pictures show the same where they overlap. Then each texel is read from its best view alone,
            and what steps remain between views are closed, not softened.
    """

    soft: int = 1
    harmonise: bool = True
    fill: bool = True
    close_seams: bool = True
    dilation: int = seams.DILATION
    fade: float = gather.FADE
    agreed: bool = False


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
                 cancelled: Cancelled = never, progress: Progress = unwatched, repaint: Repaint | None = None) -> None:
        """Prepare to bake onto `sheets`.

        Args:
            surface: The triangles.
            sheets: The images.
            settings: How.
            cancelled: See `slices`.
            progress: Called with the share that is done, 0 to 1.
            repaint: Changes the images before they are finished.
        """
        self.surface, self.settings = surface, settings
        self.layout = Layout(surface, tuple(sheets))
        self.cancelled, self.progress, self._repaint = cancelled, progress, repaint

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
        prepared = Prepared(self.surface, views, pictures, self.settings.soft, self.cancelled, self.settings.fade)
        self.progress(0.3)
        self.cells = divide(self.texels)
        gains, offsets = self._levels(prepared)
        blend = Blend.empty(self.texels.count, self.settings.agreed)
        shows = np.zeros(len(views), bool)
        for group in prepared.groups:
            self._read(blend, group, prepared.of(group), gains, offsets, shows)
        if self.texels.overlapping:
            blend = self._resolve(blend)
        if self.settings.agreed:
            self._close(blend, prepared, gains, offsets)
        inside = self.texels.inside
        return blend, Report(
            coverage=float(blend.seen[inside].mean()) if inside.any() else 0.0,
            overlapping=self.texels.overlapping,
            backs=prepared.backs,
            blind=tuple(np.flatnonzero(~shows).tolist()),
            gains=tuple(tuple(row) for row in gains.tolist()),
        )

    def _read(self, blend: Blend, numbers: range, pictures: Sequence[Picture], gains: np.ndarray,
              offsets: np.ndarray, shows: np.ndarray) -> None:
        """Add what the `pictures` with these `numbers` show to `blend`, and note which show anything."""
        texels, seen = self.texels, [picture.facing[self.layout.triangle] for picture in pictures]

        def read(part: slice) -> None:  # all pictures for a few texels: their sums stay in the processor's cache
            mine = blend.part(part)
            for number, picture, facing in zip(numbers, pictures, seen):
                reading = gather.read(texels, picture, part, facing)
                if len(reading.entries):
                    shows[number] = True
                    reading.colours[:] = reading.colours * gains[number] + offsets[number]
                    mine.add(gather.Reading(reading.entries - part.start, reading.colours, reading.quality), number)

        first, share = numbers.start / len(shows), len(numbers) / len(shows)
        each(read, texels.count, self.cancelled, _READ, lambda done: self.progress(0.3 + 0.5 * (first + share * done)))

    def _close(self, blend: Blend, prepared: Prepared, gains: np.ndarray, offsets: np.ndarray) -> None:
        """Close the steps where the best view changes, in the best views' colours."""
        pairs = closing.neighbours(self.texels)
        view = blend.view[pairs]
        border = np.flatnonzero((view[0] != view[1]) & (view != NO_VIEW).all(0))
        differences = []
        for entries, others, sign in zip(pairs[:, border], view[::-1, border], (1, -1)):
            colours = self._shown(prepared, entries, others, gains, offsets)
            differences.append(sign * (colours - blend.best(entries)))
        change = closing.change_of(differences[0], differences[1], view[:, border])
        blend.change_best(closing.corrections(self.texels.count, pairs, border, change, _REACH, self.cancelled))

    def _shown(self, prepared: Prepared, entries: np.ndarray, views: np.ndarray, gains: np.ndarray,
               offsets: np.ndarray) -> np.ndarray:
        """Return what one of the `views` (n) shows of each of the `entries` (n): n×3, NaN where it does not see it."""
        result = np.full((len(entries), 3), np.nan, np.float32)
        for group in prepared.groups:
            for number, picture in zip(group, prepared.of(group)):
                check(self.cancelled)
                mine = np.flatnonzero(views == number)
                reading = gather.read_part(self.texels.chosen(entries[mine]), picture)
                result[mine[reading.entries]] = reading.colours[:, :3] * gains[number] + offsets[number]
        return result

    def _levels(self, prepared: Prepared) -> tuple[np.ndarray, np.ndarray]:
        """Return the gain and offset of each view: V×3 float32 each."""
        gains, offsets = np.ones((len(prepared), 3)), np.zeros((len(prepared), 3))
        if self.settings.harmonise and len(prepared) > 1:
            sampled = harmonise.sample(self.texels)
            part = self.texels.chosen(sampled.entries)
            readings = [reading for group in prepared.groups for reading in together(
                [partial(gather.read_part, part, picture) for picture in prepared.of(group)], self.cancelled)]
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
        if self._repaint is not None and self._repainted(blend, colours, known) and self.settings.close_seams:
            seams.close(self.texels, colours, blend.quality, known, self.cancelled)
        baked = [self._continued(blend, colours, known, number) for number in range(len(self.layout.sheets))]
        self.progress(1.0)
        return baked

    def _continued(self, blend: Blend, colours: np.ndarray, known: np.ndarray, number: int) -> Baked:
        """Return a sheet whose islands go on beyond their borders."""
        check(self.cancelled)
        result = self._image(number, blend, colours, known)
        rows, columns, *source = seams.dilation(result.set, self.settings.dilation)
        beyond = ~result.covered[rows, columns]  # what no view sees of an island is no margin
        rows, columns, source = rows[beyond], columns[beyond], [part[beyond] for part in source]
        for values in (result.colours, result.quality):
            values[rows, columns] = values[tuple(source)]
        result.set[rows, columns] = True
        return result

    def _repainted(self, blend: Blend, colours: np.ndarray, known: np.ndarray) -> bool:
        """Change `colours` (N×3) to those of the repainted images. Return whether there are any."""
        changed = False
        for number in range(len(self.layout.sheets)):
            image = self._continued(blend, colours, known, number)
            if not image.set.any():
                continue
            shown = np.where(image.set[..., None], image.colours, image.colours[image.set].mean(0))
            picture = displayed(shown)
            assert self._repaint is not None
            new = self._repaint(number, picture, image.covered & (image.view == NO_VIEW))
            if new is not None:
                texel = self.texels.texel - int(self.layout.starts[number])
                mine = np.flatnonzero(known & (texel >= 0) & (texel < image.set.size))
                mine = mine[(new != picture).any(-1).ravel()[texel[mine]]]
                colours[mine] = linear(new).reshape(-1, 4)[texel[mine], :3]
                changed = True
        return changed

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
    """Pictures with what their pixels see, in groups that are held in memory together.

    Attributes:
        groups: The numbers of the pictures of each group.
    """

    def __init__(self, surface: Surface, views: Sequence[View], pictures: Sequence[np.ndarray], soft: int,
                 cancelled: Cancelled = never, fade: float = gather.FADE) -> None:
        self._surface, self._pictures, self._cancelled = surface, pictures, cancelled
        self._soft, self._fade = soft, fade
        self._views = [view.in_box(surface) for view in views]
        self._triangles = [cast(surface, view, cancelled) for view in self._views]
        self._reference = float(np.median([_density(view) for view in self._views]))
        self.groups = _groups([view.width * view.height for view in self._views])
        self._held: tuple[range, list[Picture]] = range(0), []
        self._backs = [0] * len(views)

    def __len__(self) -> int:
        return len(self._views)

    def of(self, group: range) -> list[Picture]:
        """Return the pictures of a group, ready to be read; those of the group before are let go."""
        if self._held[0] != group:
            self._held = range(0), []
            made = together([partial(self._prepare, number) for number in group], self._cancelled)
            self._held = group, made
        return self._held[1]

    def _prepare(self, number: int) -> Picture:
        picture = gather.prepare(self._surface, self._views[number], self._pictures[number], self._triangles[number],
                                 self._soft, self._reference, self._fade)
        self._backs[number] = picture.backs
        return picture

    @property
    def backs(self) -> float:
        """The share of the pixels on objects that see the back of a face."""
        seen = sum(int(np.count_nonzero(triangles >= 0)) for triangles in self._triangles)
        return sum(self._backs) / max(1, seen)


def _groups(pixels: Sequence[int]) -> list[range]:
    """Return groups of pictures that follow each other, each of as many as may be held at once, or of one."""
    groups, start, total = [], 0, 0
    for number, count in enumerate(pixels):
        if number > start and total + count > HELD:
            groups.append(range(start, number))
            start, total = number, 0
        total += count
    return [*groups, range(start, len(pixels))]


def _density(view: View) -> float:
    """Return the pixels per unit of length in the middle of the unit box."""
    if not view.perspective:
        return view.scales()
    return view.scales() / max(0.1, float(np.linalg.norm(view.origin)))
