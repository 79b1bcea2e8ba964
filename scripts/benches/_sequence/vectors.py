"""Let Blender's Vector pass say where the pixels of a shot go: a judge that knows nothing of the shot's formulas.

    python -m scripts.benches._sequence.vectors SHOT.npz FOLDER     in a Python with bpy; writes FOLDER/000001.npy, …

The shot is built in Blender: a mesh with a shape key for each frame, and a keyframed camera.
"""
from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from .. import common


def described(scene, path: Path) -> None:
    """Write what a shot (`tests.support.shots.Scene`) consists of into an .npz file."""
    frames = range(1, scene.frames + 1)
    posed = [scene.posed(frame) for frame in frames]
    views = [scene.camera(frame) for frame in frames]
    np.savez(path, vertices=np.stack([pose.vertices for pose in posed]), triangles=posed[0].topology.triangles,
             origins=np.stack([view.origin for view in views]), axes=np.stack([view.axes for view in views]),
             scale=views[0].scale[0], size=(views[0].width, views[0].height))


def build(bpy, shot):
    """Return a Blender scene of the shot."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    vertices = shot["vertices"]
    mesh = bpy.data.meshes.new("shot")
    mesh.from_pydata(vertices[0].tolist(), [], shot["triangles"].tolist())
    thing = bpy.data.objects.new("shot", mesh)
    scene.collection.objects.link(thing)
    thing.shape_key_add(name="rest")
    for number, points in enumerate(vertices, 1):
        key = thing.shape_key_add(name=f"{number}")
        key.data.foreach_set("co", points.astype(np.float32).ravel())
        for frame in (number - 1, number, number + 1):
            key.value = float(frame == number)
            key.keyframe_insert("value", frame=frame)
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    scene.collection.objects.link(camera)
    scene.camera, camera.rotation_mode = camera, "QUATERNION"
    width, height = (int(side) for side in shot["size"])
    camera.data.sensor_fit, camera.data.angle = "HORIZONTAL", 2 * np.arctan(width / 2 / float(shot["scale"]))
    from mathutils import Matrix

    for frame, (origin, axes) in enumerate(zip(shot["origins"], shot["axes"]), 1):
        camera.location = origin
        camera.rotation_quaternion = Matrix(np.stack([axes[0], axes[1], -axes[2]], 1).tolist()).to_quaternion()
        camera.keyframe_insert("location", frame=frame)
        camera.keyframe_insert("rotation_quaternion", frame=frame)
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = width, height, 100
    return scene


def main(path: str, folder: str) -> None:
    sys.path.insert(0, str(common.ROOT))
    import bpy

    from blender_sd.scene import motion

    shot = np.load(path)
    scene = build(bpy, shot)
    size = int(shot["size"][0]), int(shot["size"][1])
    for frame in range(1, len(shot["vertices"]) + 1):
        scene.frame_set(frame)
        np.save(Path(folder) / f"{frame:06d}.npy", motion.vectors_of_frame(scene, size))


class Passed:
    """Where pixels go by the Vector pass, frame by frame; what `judge.Judge.ways` returns."""

    def __init__(self, folder: Path, size: tuple[int, int]) -> None:
        self._folder, (self._width, self._height) = folder, size
        self._fields: dict[int, np.ndarray] = {}

    def ways(self, start: int, end: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return x and y in the later frame `end` of each pixel of `start`, and which are sure to be seen there: each
        step must lead back to where it came from."""
        row, column = np.divmod(np.arange(self._width * self._height), self._width)
        x, y = column + 0.5, row + 0.5
        sure = np.ones(len(x), bool)
        for frame in range(start, end):
            way = self._at(frame, x, y)[:, 2:]
            new_x, new_y = x + way[:, 0], y + way[:, 1]
            inside = (new_x > 0) & (new_y > 0) & (new_x < self._width) & (new_y < self._height)
            back = self._at(frame + 1, np.where(inside, new_x, 0.5), np.where(inside, new_y, 0.5))[:, :2]
            sure &= inside & (np.hypot(way[:, 0] + back[:, 0], way[:, 1] + back[:, 1]) < 0.2) & (way != 0).any(1)
            x, y = np.where(inside, new_x, x), np.where(inside, new_y, y)
        return x, y, sure

    def _at(self, frame: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        from scipy.ndimage import map_coordinates

        if frame not in self._fields:
            self._fields[frame] = np.load(self._folder / f"{frame:06d}.npy").astype(np.float64)
        field = self._fields[frame]
        return np.stack([map_coordinates(field[..., channel], [y - 0.5, x - 0.5], order=1, mode="nearest")
                         for channel in range(4)], 1)


if __name__ == "__main__":
    main(*sys.argv[1:])
