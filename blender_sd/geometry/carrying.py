"""Carry what finished pictures of a shot show over to another frame of it.

Each point of the surface takes its detail from one picture, its owner, so that nothing is averaged away and no two
pictures' details show through each other. Which one that is depends on the point and on the pictures alone, not on the
frame that looks at it: a point keeps its owner, and nothing flickers. Where pictures differ in their broad colours,
these are blended; and light that changes in the frames themselves changes here too.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .motion import Found, Points
from .resample import Layer, smoothed
from .slices import Cancelled, check, never

NOBODY = -1
AS_WELL = 0.6  # a later picture takes a point over only if it sees it better by more than this factor
_ROUNDS = 3  # owners that are tried where a picture has no pixels of the surface that are free of edges
_DARK = 6.0  # of 255: added to both sides of a ratio
_MOST = np.log(4.0)  # by which light may change
_BROAD = np.log(2.0)  # by which blending may change broad colours


@dataclass(frozen=True, eq=False)
class Picture:
    """A finished picture of a frame.

    Attributes:
        layer: Its pixels: three values of the result and three of the frame as it came in, 0 to 255.
        find: Returns where it sees points of the frame that is looked at.
        rank: When it was painted: pictures of one rank were painted together; lower ones came first.
    """

    layer: Layer
    find: Callable[[Points], Found]
    rank: float


@dataclass(frozen=True, eq=False)
class Look:
    """The frame that pictures are carried to.

    Attributes:
        shape: Rows and columns.
        pixel: N int64, the pixel of each sample.
        points: N, what the samples see.
        density: N float32: pixels per unit of length here.
        labels: H×W int32.
        source: H×W×3 float32: the frame as it came in, 0 to 255.
    """

    shape: tuple[int, int]
    pixel: np.ndarray
    points: Points
    density: np.ndarray
    labels: np.ndarray
    source: np.ndarray


@dataclass(frozen=True, eq=False)
class Carried:
    """What pictures show of a frame.

    Attributes:
        colours: H×W×3 float32, 0 to 255; 0 where nothing is known.
        known: H×W float32: the share of each pixel that some picture shows.
        owner: H×W int32: the picture that owns a pixel alone, NOBODY where several do or none.
    """

    colours: np.ndarray
    known: np.ndarray
    owner: np.ndarray


def owners(quality: np.ndarray, ranks: Sequence[float]) -> np.ndarray:
    """Return the owner of each point: N int64, NOBODY for points that no picture shows.

    Args:
        quality: K×N float32: how well each picture sees each point, 0 if it does not.
        ranks: K, see `Picture`; rising.
    """
    best, owner = np.zeros(quality.shape[1], np.float32), np.full(quality.shape[1], NOBODY, np.int64)
    for rank in sorted(set(ranks)):
        members = [number for number, other in enumerate(ranks) if other == rank]
        first = np.argmax(quality[members], axis=0)
        here = quality[members].max(axis=0)
        better = here > best / AS_WELL
        best[better], owner[better] = here[better], np.array(members)[first[better]]
    return owner


def carry(look: Look, pictures: Sequence[Picture], light: float, least: np.ndarray | None = None,
          cancelled: Cancelled = never) -> Carried:
    """Return what `pictures` show of a frame.

    Args:
        look: The frame.
        pictures: Those to carry, by rising rank.
        light: How far changes of light are taken from the frames, 0 to 1.
        least: N float32: the quality that a picture must have for each sample; None for any.
        cancelled: See `slices`.
    """
    count = len(look.pixel)
    found = []
    for picture in pictures:
        check(cancelled)
        found.append(picture.find(look.points))
    quality = np.stack([where.quality for where in found]) if found else np.zeros((0, count), np.float32)
    if least is not None and found:
        quality = np.where(quality >= least, quality, 0)
    values, owner = np.zeros((count, 6), np.float32), np.full(count, NOBODY, np.int64)
    ranks = [picture.rank for picture in pictures]
    for at_edges in (False, True):
        left = quality.copy()
        open_ = np.flatnonzero((owner == NOBODY) & (left > 0).any(0))
        for _ in range(_ROUNDS if len(open_) else 0):
            wanted = owners(left[:, open_], ranks)
            for number, (picture, where) in enumerate(zip(pictures, found)):
                mine = open_[wanted == number]
                check(cancelled)
                coarse, labels = where.density[mine] / np.maximum(look.density[mine], 1e-12), look.points.label[mine]
                read, sound = picture.layer.read(where.x[mine], where.y[mine], labels, coarse, at_edges, cancelled)
                values[mine[sound]], owner[mine[sound]] = read[sound], number
                left[number, mine[~sound]] = 0
            open_ = open_[(owner[open_] == NOBODY) & (wanted != NOBODY)]
    return _joined(look, pictures, found, quality, values, owner, light)


def _joined(look: Look, pictures: Sequence[Picture], found: Sequence[Found], quality: np.ndarray, values: np.ndarray,
            owner: np.ndarray, light: float) -> Carried:
    size = look.shape[0] * look.shape[1]
    samples = np.bincount(look.pixel, minlength=size)
    there = owner != NOBODY
    pixel = look.pixel[there]
    shown = np.bincount(pixel, minlength=size)
    columns = [*values[there].T, *_difference(look, pictures, found, quality, values, owner)[there].T]
    means = np.stack([np.bincount(pixel, column, size) for column in columns], 1) / np.maximum(shown, 1)[:, None]
    means = means.reshape(*look.shape, -1).astype(np.float32)
    known = (shown / np.maximum(samples, 1)).reshape(look.shape).astype(np.float32)
    colours, before, broad = means[..., :3], np.maximum(means[..., 3:6], 0), means[..., 6:]
    levels = max(2, round(np.log2(max(look.shape) / 64)))
    if light > 0:
        alike = (known > 0.99) & (samples == samples.min()).reshape(look.shape)  # edges mix surfaces
        both = smoothed(np.concatenate([look.source, before], 2), alike.astype(np.float32), look.labels, levels)
        change = np.log((both[..., :3] + _DARK) / (both[..., 3:] + _DARK))
        colours = colours * np.exp(light * np.clip(change, -_MOST, _MOST))
    if len(pictures) > 1:
        colours = colours * np.exp(np.clip(smoothed(broad, known, look.labels, levels + 1), -_BROAD, _BROAD))
    lowest = np.full(size, len(pictures), np.int64)
    highest = np.full(size, NOBODY, np.int64)
    np.minimum.at(lowest, look.pixel, owner)
    np.maximum.at(highest, look.pixel, owner)
    alone = np.where(lowest == highest, lowest, NOBODY).reshape(look.shape).astype(np.int32)
    return Carried(np.clip(colours, 0, 255) * (known > 0)[..., None], known, alone)


def _difference(look: Look, pictures: Sequence[Picture], found: Sequence[Found], quality: np.ndarray,
                values: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Return by how much all pictures' mean differs from the owner's, N×3, as a logarithm.

    What a picture makes of a point is compared with what came in there, so that light does not count.
    """
    if len(pictures) < 2:
        return np.zeros((len(owner), 3), np.float32)
    total, weight = np.zeros((len(owner), 3), np.float32), np.zeros(len(owner), np.float32)
    several = ((quality > 0).sum(0) > 1) & (owner != NOBODY)
    for picture, where, good in zip(pictures, found, quality):
        seen = np.flatnonzero((good > 0) & several)
        layer, share = picture.layer, good[seen] ** 2
        height, width = layer.labels.shape
        column = np.clip(np.floor(where.x[seen]).astype(np.int64), 0, width - 1)
        row = np.clip(np.floor(where.y[seen]).astype(np.int64), 0, height - 1)
        share = share * ((layer.labels[row, column] == look.points.label[seen]) & (layer.edges[row, column] > 1))
        total[seen] += share[:, None] * _made(layer.values[row, column])
        weight[seen] += share
    own = _made(values)
    return np.where(weight[:, None] > 0, total / np.maximum(weight, 1e-30)[:, None] - own, 0).astype(np.float32)


def _made(values: np.ndarray) -> np.ndarray:
    bright = np.maximum(values, 0) + _DARK  # a sharp kernel swings below black
    return np.log(bright[:, :3] / bright[:, 3:6])
