"""Find Marigold's weights among the model folders: they paint no pictures, they estimate maps."""
from __future__ import annotations

from dataclasses import dataclass

from .model_folders import INDEX, read_json

INTRINSICS, NORMALS = "intrinsics", "normals"
_CLASSES = {"MarigoldIntrinsicsPipeline": INTRINSICS, "MarigoldNormalsPipeline": NORMALS,
            "MarigoldDepthPipeline": "", "MarigoldPipeline": ""}  # the last two estimate depth alone
_NEEDED = {"albedo", "roughness", "metallicity"}


@dataclass(frozen=True)
class Weights:
    """A folder with Marigold's weights: its `place`, its `kind` (INTRINSICS, NORMALS or "" for another), and the
    `reason` why they cannot be used, in words; "" if they can."""

    place: str
    kind: str
    reason: str = ""


def weights_at(place: str) -> Weights | None:
    """Return what a folder in diffusers format holds of Marigold's; None for anything else. Raises ModelUnreadable,
    ModelNotFound."""
    index = read_json(place, INDEX)
    name = index.get("_class_name")
    if not isinstance(name, str) or name not in _CLASSES:
        return None
    kind = _CLASSES[name]
    if kind == INTRINSICS and (missing := sorted(_NEEDED - _targets(index.get("target_properties")))):
        return Weights(place, kind, f"These Marigold weights estimate no {' and no '.join(missing)}: they are of "
                                    "another version than 'marigold-iid-appearance'.")
    return Weights(place, kind)


def _targets(properties: object) -> set[str]:
    """Return the names of all that a set of weights estimates."""
    if not isinstance(properties, dict):
        return set()
    names = _texts(properties.get("target_names"))
    inner = [properties.get(name) for name in names]
    return names.union(*(_texts(part.get("sub_target_names")) for part in inner if isinstance(part, dict)))


def _texts(listed: object) -> set[str]:
    """Return the texts in a list that a stranger wrote; nothing of anything else."""
    return {name for name in listed if isinstance(name, str)} if isinstance(listed, list) else set()
