"""The shots of the bench "sequence": 24 frames at 256², with motion that is known in closed form."""
from __future__ import annotations

import numpy as np

from tests.support import meshes, shots

SIZE, FRAMES, CUT = 256, 24, 17


def moving() -> shots.Scene:
    """Return a shot with a camera in orbit, a cube that turns and travels, a ball that passes behind it, and a cut."""
    def moved(number: int, frame: int, points: np.ndarray) -> np.ndarray:
        if number == 0:
            return points @ shots.turned(0.04 * (frame - 1)).T + [-0.3 + 0.02 * frame, -0.2, 0.2]
        if number == 2:
            return points + [1.1 - 0.08 * frame, 0.9, 0.1]
        return points

    def camera(frame: int) -> meshes.View:
        angle = 0.015 * frame if frame < CUT else 1.2 + 0.015 * frame
        height = 1.6 if frame < CUT else 2.4
        return meshes.camera((3.6 * np.sin(angle), -3.6 * np.cos(angle), height), size=SIZE, fov=0.75)

    parts = [meshes.cube((0, 0, 0), 0.55), meshes.plane(3.0, -0.35), meshes.sphere(48, 96, 0.45)]
    return shots.Scene(parts, moved, camera, FRAMES, (CUT,))


def deforming() -> shots.Scene:
    """Return a shot with a cloth that waves and a ring that swells, before a camera that sways."""
    def moved(number: int, frame: int, points: np.ndarray) -> np.ndarray:
        time = 0.18 * (frame - 1)
        if number == 0:
            lift = 0.12 * np.sin(3.0 * points[:, 0] + time) + 0.08 * np.sin(2.2 * points[:, 1] - 1.3 * time)
            return points + np.stack([0 * lift, 0 * lift, lift - 0.35], 1)
        grown = 1 + 0.12 * np.sin(4 * np.arctan2(points[:, 1], points[:, 0]) + time)
        return points * grown[:, None] + [0, 0, 0.45]

    def camera(frame: int) -> meshes.View:
        angle = 0.12 * np.sin(0.25 * frame)
        return meshes.camera((3.4 * np.sin(angle), -3.4 * np.cos(angle), 2.0), size=SIZE, fov=0.75)

    parts = [meshes.plane(1.8, 0.0, 96), meshes.torus(64, 128, 0.6, 0.22)]
    return shots.Scene(parts, moved, camera, FRAMES)


SHOTS = {"moving": moving, "deforming": deforming}
