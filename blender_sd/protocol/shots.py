"""A shot on disk: the frames to restyle, with what is known of the scene in each of them.

A shot is a folder. The Blender side writes it (`library.shots`), the engine reads it; messages carry its path alone, so
that no process holds all frames at once. It contains:

    shot.json             what holds for the whole shot (`ShotInfo`)
    settings.json         settings that vary from frame to frame (`Course`); optional
    frames/000001.png     display pixels, sRGB, 8 or 16 bit, RGB or RGBA with straight alpha
    surface/000001.npz    vertices in the world, the name of their topology, and the camera; optional
    topology/NAME.npz     triangles, and the object of each
    vectors/000001.npz    pixels to where each pixel's point was and will be; optional
    keyframes/000001.png  a picture that a person made for a frame and that the others follow; optional
    controls/0/000001.png what the request's first ControlNet reads; optional
    regions/0/000001.png  where the request's first region lies, white on black; optional

Row 0 is on top. Points of frames with one topology correspond by triangle and barycentric coordinates. So that the
topology stays while things appear and vanish, those that are not there keep their triangles, with all corners in one
place.
"""
from __future__ import annotations

import functools
import hashlib
import io
import json
import os
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ..core.common_settings import MAX_SEED, MAX_SIDE, MIN_SIDE
from ..core.errors import SourceUnusable
from .shot_names import file_name
from .surfaces import Lens

FORMAT = 1
SURFACE, VECTOR, FLOW = "surface", "vector", "flow"
LINKS = (SURFACE, VECTOR, FLOW)  # how points of frames are found again, the most exact first
FRAMES, KEYFRAMES, SURFACES, TOPOLOGIES, VECTORS = "frames", "keyframes", "surface", "topology", "vectors"
CONTROLS, REGIONS = "controls", "regions"
INFO, SETTINGS = "shot.json", "settings.json"
MAX_FRAMES = 100_000
_MAX_TEXT = 64 << 20  # bytes of a JSON file
_MAX_ARRAYS = 2 << 30  # bytes of the arrays of a file, unpacked
_MAX_NAME = 1024  # bytes of the array of a topology's name
_LENS = ("scale_x", "scale_y", "centre_x", "centre_y", "width", "height", "perspective", "near", "far")


@dataclass(frozen=True)
class ShotInfo:
    """What holds for a whole shot.

    Attributes:
        frames: The numbers of its frames, rising.
        width, height: Their size in pixels.
        pixel_aspect: A pixel's width by its height.
        fps: Frames in a number of seconds: (24, 1), (30000, 1001).
        cuts: The frames that begin after a cut: nothing corresponds across it.
        link: How points of frames are found again, one of `LINKS`.
        objects: The names of the objects, by the numbers in the topologies.
        views: How the files of each frame's views end (`shot_names`); () for a plain shot.
    """

    frames: tuple[int, ...]
    width: int
    height: int
    pixel_aspect: float = 1.0
    fps: tuple[int, int] = (24, 1)
    cuts: tuple[int, ...] = ()
    link: str = SURFACE
    objects: tuple[str, ...] = ()
    views: tuple[str, ...] = ()


@dataclass(frozen=True)
class Course:
    """Settings that vary from frame to frame. A value holds until the next frame that has one.

    Attributes:
        strength, guidance: By frame; nothing for the request's own value.
        seed: By frame.
        regions: By the number of a region of the request, by frame how much of it counts, 0 to 1.
        prompts: Pairs of a frame and the prompt from there on; nothing for the request's own.
        blend: By frame the share of the next prompt, 0 to 1.
    """

    strength: Mapping[int, float] = field(default_factory=dict)
    guidance: Mapping[int, float] = field(default_factory=dict)
    seed: Mapping[int, int] = field(default_factory=dict)
    regions: Mapping[int, Mapping[int, float]] = field(default_factory=dict)
    prompts: tuple[tuple[int, str], ...] = ()
    blend: Mapping[int, float] = field(default_factory=dict)

    def prompt(self, frame: int, otherwise: str) -> tuple[str, str, float]:
        """Return the prompt of a frame, the one after it, and the share of that; `otherwise` where there is none."""
        number = sum(1 for start, _ in self.prompts if start <= frame)
        here = self.prompts[number - 1][1] if number else otherwise
        after = self.prompts[number][1] if number < len(self.prompts) else here
        return here, after, value_at(self.blend, frame, 0.0) if after != here else 0.0


def value_at(values: Mapping[int, Any], frame: int, otherwise: Any) -> Any:
    """Return what holds at a frame: the value of the last frame up to it that has one, or `otherwise`."""
    if frame in values:  # baked curves have a value for each frame
        return values[frame]
    before = [key for key in values if key <= frame]
    return values[max(before)] if before else otherwise


@dataclass(frozen=True, eq=False)
class Topology:
    """Which points make triangles, alike for many frames.

    Attributes:
        name: It is made of the content, so that equal topologies have one name.
        triangles: T×3 int32 indices of points.
        objects: T int32 indices of `ShotInfo.objects`.
    """

    name: str
    triangles: np.ndarray
    objects: np.ndarray


@dataclass(frozen=True, eq=False)
class Posed:
    """A frame's surface: N×3 float32 vertices in the world, metres, with their topology and the camera."""

    vertices: np.ndarray
    topology: Topology
    lens: Lens


@dataclass(frozen=True)
class ShotOrder:
    """Ask for frames of a shot.

    Attributes:
        folder: The shot's folder.
        frames: The numbers of the frames to make; () for all. A farm's chunks differ in them alone, and a frame's
            pixels do not depend on them.
        keys_only: Whether to make only the keyframes that these frames need.
    """

    folder: str
    frames: tuple[int, ...] = ()
    keys_only: bool = False


class Shot:
    """A shot's folder, read frame by frame.

    Attributes:
        folder: Its path.
        info: What holds for the whole shot.
        course: What varies from frame to frame.
    """

    def __init__(self, folder: str) -> None:
        """Read what holds for all frames. Raise SourceUnusable if it is missing or broken."""
        self.folder = folder
        self.info = read_info(_bytes(os.path.join(folder, INFO)))
        path = os.path.join(folder, SETTINGS)
        self.course = read_course(_bytes(path)) if os.path.exists(path) else Course()
        self._topology = functools.lru_cache(maxsize=4)(self._read_topology)

    def path(self, kind: str, frame: int, extension: str = "png") -> str:
        """Return where a frame's file of a kind lies: FRAMES, KEYFRAMES, "controls/0", …; it need not exist."""
        return os.path.join(self.folder, *kind.split("/"), f"{file_name(frame)}.{extension}")

    def has(self, kind: str, frame: int, extension: str = "png") -> bool:
        """Return whether a frame has a file of a kind."""
        return os.path.exists(self.path(kind, frame, extension))

    def picture(self, kind: str, frame: int) -> bytes | None:
        """Return the bytes of a frame's picture of a kind; None if there is none."""
        path = self.path(kind, frame)
        return _bytes(path) if os.path.exists(path) else None

    def surface(self, frame: int) -> Posed | None:
        """Return a frame's surface; None if there is none. Raise SourceUnusable if it is broken."""
        path = self.path(SURFACES, frame, "npz")
        if not os.path.exists(path):
            return None
        vertices, name, lens = read_surface(_bytes(path), path)
        topology = self._topology(name)
        if len(topology.triangles) and int(topology.triangles.max()) >= len(vertices):
            raise _broken(path, "a triangle has a point that does not exist")
        return Posed(vertices, topology, lens)

    def topology(self, frame: int) -> str:
        """Return the name of a frame's topology without reading the vertices; "" if there is no surface."""
        path = self.path(SURFACES, frame, "npz")
        if not os.path.exists(path):
            return ""
        try:
            with zipfile.ZipFile(path) as packed, packed.open("topology.npy") as file:
                name = np.lib.format.read_array(io.BytesIO(file.read(_MAX_NAME)), allow_pickle=False)
                return bytes(name).decode("ascii", "replace")
        except Exception as error:  # as in `_arrays`
            raise _broken(path, repr(error)) from None

    def vectors(self, frame: int) -> np.ndarray | None:
        """Return H×W×4 float32: pixels right and down to where each pixel's point is in the frame before, and in the
        next one; None if there are none."""
        path = self.path(VECTORS, frame, "npz")
        if not os.path.exists(path):
            return None
        vectors = _arrays(_bytes(path), path, {"vectors": (np.float32, 3)})["vectors"]
        if vectors.shape != (self.info.height, self.info.width, 4) or not np.isfinite(vectors).all():
            raise _broken(path, f"its vectors are {vectors.shape}, or not finite")
        return vectors

    def files(self, frame: int) -> list[str]:
        """Return the files that belong to a frame, as paths in the folder with slashes."""
        kinds = [(FRAMES, "png"), (KEYFRAMES, "png"), (SURFACES, "npz"), (VECTORS, "npz")]
        kinds += [(f"{group}/{number}", "png") for group in (CONTROLS, REGIONS) for number in self._numbers(group)]
        names = [f"{kind}/{file_name(frame)}.{extension}" for kind, extension in kinds]
        return [name for name in names if os.path.exists(os.path.join(self.folder, name))]

    def _numbers(self, group: str) -> list[str]:
        try:
            return sorted(os.listdir(os.path.join(self.folder, group)))
        except OSError:
            return []

    def _read_topology(self, name: str) -> Topology:
        path = os.path.join(self.folder, TOPOLOGIES, f"{name}.npz")
        return read_topology(_bytes(path), path, name)


# ---- single files ----------------------------------------------------------------------------------------------------


def info_bytes(info: ShotInfo) -> bytes:
    """Return the content of shot.json."""
    return json.dumps({"format": FORMAT, **asdict(info)}, ensure_ascii=False).encode()


def read_info(data: bytes) -> ShotInfo:
    """Return what shot.json holds. Raise SourceUnusable."""
    raw = _json(data, INFO)
    try:
        values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value
                                  for name, value in raw.items() if name != "format"}
        info = ShotInfo(**values)
    except TypeError as error:
        raise _broken(INFO, str(error)) from None
    whole = [*_whole(info.frames), *_whole(info.cuts), *_whole((info.width, info.height)), *_whole(info.fps)]
    sound = (whole and len(info.frames) <= MAX_FRAMES and all(MIN_SIDE <= side <= MAX_SIDE for side in whole[-4:-2])
             and len(info.fps) == 2 and min(info.fps) > 0 and info.link in LINKS
             and type(info.pixel_aspect) in (int, float) and 0.1 <= info.pixel_aspect <= 10
             and isinstance(info.objects, tuple) and isinstance(info.views, tuple)
             and all(type(name) is str for name in (*info.objects, *info.views))
             and len(set(info.views)) == len(info.views) and not set("/\\") & set("".join(info.views)))
    if not sound or not info.frames:
        raise _broken(INFO, "a value is out of range")
    if any(after <= before for before, after in zip(info.frames, info.frames[1:])):
        raise _broken(INFO, "the frames do not rise")
    return info


def course_bytes(course: Course) -> bytes:
    """Return the content of settings.json."""
    return json.dumps({"format": FORMAT, **asdict(course)}, ensure_ascii=False).encode()


def read_course(data: bytes) -> Course:
    """Return what settings.json holds. Raise SourceUnusable."""
    raw = _json(data, SETTINGS)
    try:
        values: dict[str, Any] = {name: _by_frame(raw.pop(name, {}), *limits) for name, limits in _VARYING.items()}
        values["regions"] = {int(number): _by_frame(weights, 0.0, 1.0) for number, weights in
                             raw.pop("regions", {}).items()}
        values["prompts"] = tuple(sorted((frame, text) for frame, text in raw.pop("prompts", [])))
    except (TypeError, ValueError, AttributeError):
        raise _broken(SETTINGS, "a value is of another kind") from None
    if not all(type(frame) is int and type(text) is str for frame, text in values["prompts"]):
        raise _broken(SETTINGS, "a prompt is no text")
    return Course(**values)


_VARYING: dict[str, tuple[float, float]] = {
    "strength": (0.0, 1.0), "guidance": (0.0, 100.0), "seed": (0, MAX_SEED), "blend": (0.0, 1.0)}


def _by_frame(raw: Mapping[str, Any], low: float, high: float) -> dict[int, Any]:
    kinds = (int,) if type(low) is int else (int, float)
    values = {int(frame): value for frame, value in raw.items()}
    if not all(type(value) in kinds and low <= value <= high for value in values.values()):
        raise ValueError("out of range")
    return values


def topology_of(triangles: np.ndarray, objects: np.ndarray) -> Topology:
    """Return a topology with its name; `triangles` T×3 and `objects` T, whole numbers."""
    triangles = np.ascontiguousarray(triangles, np.int32).reshape(-1, 3)
    objects = np.ascontiguousarray(objects, np.int32)
    digest = hashlib.sha256(triangles.tobytes() + b"|" + objects.tobytes()).hexdigest()
    return Topology(digest[:32], triangles, objects)


def topology_bytes(topology: Topology) -> bytes:
    """Return the content of a topology's file."""
    return _packed(triangles=topology.triangles, objects=topology.objects)


def read_topology(data: bytes, path: str, name: str) -> Topology:
    """Return what a topology's file holds. Raise SourceUnusable."""
    triangles, objects = _arrays(data, path, {"triangles": (np.int32, 2), "objects": (np.int32, 1)}).values()
    if triangles.shape != (len(objects), 3) or len(objects) and min(int(triangles.min()), int(objects.min())) < 0:
        raise _broken(path, "its triangles make no surface")
    return Topology(name, triangles, objects)


def surface_bytes(vertices: np.ndarray, topology: str, lens: Lens) -> bytes:
    """Return the content of a frame's surface file: N×3 vertices in the world, the name of their topology, the camera.
    """
    numbers = [*lens.origin, *lens.axes, *(float(getattr(lens, name)) for name in _LENS)]
    return _packed(vertices=np.ascontiguousarray(vertices, np.float32).reshape(-1, 3), lens=np.array(numbers),
                   topology=np.frombuffer(topology.encode("ascii"), np.uint8))


def read_surface(data: bytes, path: str) -> tuple[np.ndarray, str, Lens]:
    """Return the vertices, the name of the topology and the camera of a surface file. Raise SourceUnusable."""
    arrays = _arrays(data, path, {"vertices": (np.float32, 2), "lens": (np.float64, 1), "topology": (np.uint8, 1)})
    numbers, name = arrays["lens"].tolist(), bytes(arrays["topology"]).decode("ascii", "replace")
    if arrays["vertices"].shape[1:] != (3,) or len(numbers) != 12 + len(_LENS) or not name.isalnum():
        raise _broken(path, "it is no surface")
    if not (np.isfinite(arrays["lens"]).all() and np.isfinite(arrays["vertices"]).all()):
        raise _broken(path, "a number is not finite")
    rest: dict[str, Any] = dict(zip(_LENS, numbers[12:]))
    if not (1 <= rest["width"] <= MAX_SIDE and 1 <= rest["height"] <= MAX_SIDE):
        raise _broken(path, "its camera has no size")
    rest |= {"width": int(rest["width"]), "height": int(rest["height"]), "perspective": bool(rest["perspective"])}
    return arrays["vertices"], name, Lens(tuple(numbers[:3]), tuple(numbers[3:12]), **rest)


def vectors_bytes(vectors: np.ndarray) -> bytes:
    """Return the content of a frame's vector file; see `Shot.vectors`."""
    return _packed(vectors=np.ascontiguousarray(vectors, np.float32))


def _packed(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]  # numpy's stubs take a keyword for `allow_pickle`
    return file.getvalue()


def _arrays(data: bytes, path: str, kinds: Mapping[str, tuple[type, int]]) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz file, which must have these names, numbers and axes. Nothing in it is executed."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            if sum(item.file_size for item in packed.infolist()) > _MAX_ARRAYS:
                raise _broken(path, "it is too large")
            arrays = {}
            for name in kinds:
                with packed.open(f"{name}.npy") as file:
                    arrays[name] = np.lib.format.read_array(file, allow_pickle=False)
    except SourceUnusable:
        raise
    except Exception as error:  # zipfile and numpy raise what they like for damaged files
        raise _broken(path, repr(error)) from None
    for name, (kind, axes) in kinds.items():
        if arrays[name].dtype != kind or arrays[name].ndim != axes:
            raise _broken(path, f"{name} is of another kind")
    return arrays


def _bytes(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise SourceUnusable(f"A file of the shot cannot be read: {path}", "Record the shot again.",
                             repr(error)) from None


def _json(data: bytes, name: str) -> dict[str, Any]:
    try:
        raw = json.loads(data) if len(data) <= _MAX_TEXT else None
    except (ValueError, RecursionError):
        raw = None
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise _broken(name, "it is damaged, or of another version")
    return raw


def _whole(values: Any) -> Iterable[int]:
    if not isinstance(values, Sequence) or not all(type(value) is int for value in values):
        raise _broken(INFO, "a number is not whole")
    return values


def _broken(path: str, why: str) -> SourceUnusable:
    return SourceUnusable(f"A file of the shot is broken: {path}", "Record the shot again.", why)
