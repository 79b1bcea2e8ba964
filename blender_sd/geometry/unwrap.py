"""Give a mesh without UVs a map of its own, with the package xatlas."""
from __future__ import annotations

import sys

import numpy as np

from ..core.errors import GeometryMissing

_PADDING = 4  # texels between charts
_RESOLUTION = 1024  # texels for which the padding is counted


def unwrap(vertices: np.ndarray, triangles: np.ndarray, polygons: np.ndarray) -> np.ndarray:
    """Return UVs without overlaps for every corner of every triangle: T×3×2 float32 between 0 and 1.

    xatlas sees triangles only. A polygon that one of its charts' borders would cross gets a chart of its own instead,
    seen from straight above.

    Args:
        vertices: V×3.
        triangles: T×3 indices of vertices.
        polygons: T ids of the polygons that the triangles belong to.

    Raises:
        GeometryMissing: xatlas is not installed.
    """
    try:
        import xatlas
    except ImportError as error:
        raise GeometryMissing(
            "The package xatlas, which makes UVs, is missing in the engine's Python.",
            f"Install it with: {sys.executable} -m pip install xatlas, or unwrap the objects in Blender.",
            str(error),
        ) from error
    vertices = np.ascontiguousarray(vertices, np.float32)
    vertices = (vertices - vertices.min(0)) / max(float(np.ptp(vertices, axis=0).max()), 1e-12)
    triangles = np.ascontiguousarray(triangles, np.uint32)
    atlas = xatlas.Atlas()
    atlas.add_mesh(vertices, triangles)
    atlas.generate(pack_options=_packing(xatlas))
    corners, uv = _read(atlas)
    areas = _areas(vertices[triangles])
    uv = _at_scale(uv, areas)
    crossed = _crossed(triangles, corners, polygons, areas)
    if crossed.any():
        uv[crossed], names = _flattened(vertices, triangles[crossed], polygons[crossed])
        corners = corners.astype(np.int64)
        corners[crossed] = names + corners.max() + 1
    return _joined(_packed(xatlas, uv, corners), vertices, triangles, polygons, areas)


def _read(atlas) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners' names (T×3) and UVs (T×3×2) of the packed map, equally scaled along both axes."""
    _, corners, coordinates = atlas.get_mesh(0)
    corners = corners.reshape(-1, 3)
    sides = np.array([atlas.width, atlas.height], np.float64)
    return corners, (np.asarray(coordinates, np.float64) * (sides / sides.max()))[corners]


def _packing(xatlas):
    options = xatlas.PackOptions()
    options.padding, options.resolution, options.bilinear = _PADDING, _RESOLUTION, True
    return options


def _areas(corners: np.ndarray) -> np.ndarray:
    return np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)


def _at_scale(uv: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """Return the UVs scaled so that their area in all is the surface's: charts made otherwise then fit beside them."""
    one, other = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
    flat = np.abs(one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]).sum()
    return uv * np.sqrt(areas.sum() / max(flat, 1e-12))


def _crossed(triangles: np.ndarray, corners: np.ndarray, polygons: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """Return which triangles belong to a polygon with a vertex at two places of the map: T bool.

    Triangles without an area are placed anywhere and tell nothing.
    """
    polygon = np.unique(polygons, return_inverse=True)[1]
    real = np.repeat(areas > 0, 3)
    pair = np.stack([np.repeat(polygon, 3), triangles.ravel().astype(np.int64)], 1)
    triple = np.unique(np.concatenate([pair, corners.ravel().astype(np.int64)[:, None]], 1)[real], axis=0)
    names, count = np.unique(triple[:, :2], axis=0, return_counts=True)
    return np.isin(polygon, names[count > 1, 0])


def _flattened(vertices: np.ndarray, triangles: np.ndarray, polygons: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return UVs of polygons as seen from straight above (T×3×2), and the names of their corners (T×3)."""
    names, polygon = np.unique(polygons, return_inverse=True)
    corners = vertices[triangles].astype(np.float64)
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal = np.zeros((len(names), 3))
    np.add.at(normal, polygon, cross)
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    normal = np.where(length > 0, normal / np.maximum(length, 1e-30), [0.0, 0.0, 1.0])
    helper = np.where(np.abs(normal[:, :1]) < 0.9, [[1.0, 0, 0]], [[0, 1.0, 0]])
    right = np.cross(helper, normal)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    axes = np.stack([right, np.cross(normal, right)], 1)
    uv = np.einsum("tkj,tij->tki", corners, axes[polygon])
    pair = np.stack([np.repeat(polygon, 3), triangles.ravel().astype(np.int64)], 1)
    return uv, np.unique(pair, axis=0, return_inverse=True)[1].reshape(-1, 3)


def _joined(uv: np.ndarray, vertices: np.ndarray, triangles: np.ndarray, polygons: np.ndarray, areas: np.ndarray
            ) -> np.ndarray:
    """Return the UVs with the corners of triangles without an area where the rest of their polygon has them."""
    place = np.unique(vertices, axis=0, return_inverse=True)[1].ravel()
    pair = np.stack([np.repeat(polygons, 3), place[triangles].ravel()], 1).astype(np.int64)
    real = np.repeat(areas > 0, 3)
    order = np.argsort(~real, kind="stable")  # a real triangle's corner is the first of its name, if there is one
    _, first, name = np.unique(pair[order], axis=0, return_index=True, return_inverse=True)
    source = order[first[name.ravel()]]
    flat = uv.reshape(-1, 2).copy()
    flat[order] = flat[source]
    nowhere = np.empty(len(order), bool)
    nowhere[order] = ~real[source]  # such as a vertex in the middle of an edge
    result, lost = flat.reshape(uv.shape), nowhere.reshape(-1, 3)
    some = np.flatnonzero(lost.any(1))
    whole = result[some, np.argmin(lost[some], axis=1)]
    result[some] = np.where(lost[some, :, None], whole[:, None], result[some])
    return result


def _packed(xatlas, uv: np.ndarray, corners: np.ndarray) -> np.ndarray:
    names, first, index = np.unique(corners.ravel(), return_index=True, return_inverse=True)
    atlas = xatlas.Atlas()
    points = uv.reshape(-1, 2)[first]
    atlas.add_uv_mesh(np.ascontiguousarray(points, np.float32), np.ascontiguousarray(index.reshape(-1, 3), np.uint32))
    options = _packing(xatlas)
    atlas.generate(pack_options=options)
    return np.clip(_read(atlas)[1], 0, 1).astype(np.float32)
