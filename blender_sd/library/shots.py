"""Write a shot's folder (`protocol.shots`): each file complete or absent."""
from __future__ import annotations

import os
from collections.abc import Collection

import numpy as np

from ..protocol import shots
from ..protocol.shot_names import file_name
from ..protocol.shots import Course, ShotInfo
from ..protocol.surfaces import Lens
from . import files


class ShotWriter:
    """Write the files of one shot. All methods may raise OSError.

    The info is written last: a folder with it is complete.
    """

    def __init__(self, folder: str) -> None:
        """Make the folder in an existing one, or go on in it, without what processes that were killed left there."""
        files.make_folder(folder)
        for place, *_ in os.walk(folder):
            files.sweep(place)
        self.folder = folder
        self._topologies: set[str] = set()

    def picture(self, kind: str, frame: int, data: bytes) -> None:
        """Write a frame's PNG of a kind: `shots.FRAMES`, `shots.KEYFRAMES`, "controls/0", "regions/0", …"""
        self._write(f"{kind}/{file_name(frame)}.png", data)

    def keep(self, kind: str, frames: Collection[int]) -> None:
        """Delete the pictures of a kind, except those of `frames`."""
        names = {f"{file_name(frame)}.png" for frame in frames}
        folder = os.path.join(self.folder, kind)
        for name in os.listdir(folder) if os.path.isdir(folder) else ():
            if name.endswith(".png") and name not in names:
                files.remove_in(folder, name)

    def surface(self, frame: int, vertices: np.ndarray, triangles: np.ndarray, objects: np.ndarray, lens: Lens) -> None:
        """Write what a frame's camera sees.

        Args:
            frame: Its number.
            vertices: N×3 in the world, metres.
            triangles: T×3 indices of vertices.
            objects: T indices of `ShotInfo.objects`.
            lens: The camera, whose pixels are the frame's.
        """
        topology = shots.topology_of(triangles, objects)
        if topology.name not in self._topologies:
            self._write(f"{shots.TOPOLOGIES}/{topology.name}.npz", shots.topology_bytes(topology))
            self._topologies.add(topology.name)
        self._write(f"{shots.SURFACES}/{file_name(frame)}.npz",
                    shots.surface_bytes(vertices, topology.name, lens))

    def vectors(self, frame: int, vectors: np.ndarray) -> None:
        """Write a frame's motion, H×W×4 (`Shot.vectors`)."""
        self._write(f"{shots.VECTORS}/{file_name(frame)}.npz", shots.vectors_bytes(vectors))

    def course(self, course: Course) -> None:
        """Write the settings that vary."""
        self._write(shots.SETTINGS, shots.course_bytes(course))

    def info(self, info: ShotInfo) -> None:
        """Write what holds for the whole shot: the last of all files."""
        self._write(shots.INFO, shots.info_bytes(info))

    def _write(self, name: str, data: bytes) -> None:
        path = self.folder
        *folders, last = name.split("/")
        for folder in folders:
            path = os.path.join(path, folder)
            files.make_folder(path)
        files.write_whole(os.path.join(path, last), data)
