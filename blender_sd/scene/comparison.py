"""A/B: the image of a slot against another one, shown in that slot by turns, or both at once in the Image Editor (`addon/wipe.py`)."""
from __future__ import annotations

from dataclasses import dataclass, replace

import bpy

from ..protocol.errors import SourceUnusable, TargetUnusable
from . import images, materials, slots, targets

A, B = "A", "B"


@dataclass(frozen=True)
class Comparison:
    """What is compared where. `a`: the image that was in the slot; `b`: the other; `fake`: whether `a` had a fake user. `added`: `b`
    was loaded for this alone. Holds no bpy references, as targets do not."""

    target: targets.Target
    a: targets.Identity
    b: targets.Identity
    fake: bool
    added: bool
    shown: str = A

    @property
    def in_editor(self) -> bool:
        """Whether the slot is an Image Editor."""
        return self.target.kind in ("editor", "new")


def compare(context: bpy.types.Context, image: bpy.types.Image, added: bool = False) -> Comparison:
    """Begins to compare `image` with that of the active slot (see `slots.active_slot_image`), and changes nothing yet. Raises
    SourceUnusable, TargetUnusable."""
    current, target = slots.active_slot_image(context)
    if current == image:
        raise SourceUnusable("This picture is in the slot already.", "Choose another one to compare it with.")
    return Comparison(target, targets.identity(current), targets.identity(image), current.use_fake_user, added)


def sides(comparison: Comparison) -> tuple[bpy.types.Image | None, bpy.types.Image | None]:
    """Both images; None for one that is gone."""
    return targets.lookup(comparison.a), targets.lookup(comparison.b)


def show_side(comparison: Comparison, side: str) -> Comparison:
    """Puts A or B into the slot; nodes, canvases and editors alike. The caller pushes the undo step. Raises TargetUnusable where the
    image or the slot is gone."""
    a, b = sides(comparison)
    if a is None or b is None:
        raise TargetUnusable("One of the two pictures is no longer in this file.", "Begin the comparison again.")
    wanted, shown = (b if side == B else a), (b if comparison.shown == B else a)
    if comparison.in_editor:
        spaces = [space for space in images.editors() if space.image in (a, b)]
        for space in [space for space in spaces if space.image == shown] or spaces:  # undo may have turned them round
            space.image = wanted
        images.redraw("IMAGE_EDITOR")
    else:
        targets.place(replace(comparison.target, image=targets.identity(shown)), [wanted])
    return replace(comparison, shown=side)


def end_comparison(comparison: Comparison, keep: bool) -> None:
    """Leaves B in the slot (`keep`; A stays in the file), or A as it was, and takes B out of the file again where it was loaded for this
    alone. Raises TargetUnusable as `show_side` does."""
    show_side(comparison, B if keep else A)
    a, b = sides(comparison)
    if keep:
        if a.type not in images.RENDERED:
            materials.keep(a)
        return
    a.use_fake_user = comparison.fake
    if comparison.added and b.users - b.use_fake_user <= 0:
        bpy.data.images.remove(b)
