"""A/B comparison of a slot's image with another one, in the slot by turns or side by side in the Image Editor
(`addon/wipe.py`).
"""
from __future__ import annotations

from dataclasses import dataclass, replace

import bpy

from ..core.errors import SourceUnusable, TargetUnusable
from . import replacing, screens, slots, targets

A, B = "A", "B"


@dataclass(frozen=True)
class Comparison:
    """Two images and the slot that they are compared in. Holds no bpy references, as targets do not.

    Attributes:
        target: The slot.
        a: The image that was in the slot.
        b: The other image.
        fake: Whether `a` had a fake user.
        added: Whether `b` was loaded for the comparison only.
        shown: Which of them is in the slot now, `A` or `B`.
    """

    target: targets.Target
    a: targets.Identity
    b: targets.Identity
    fake: bool
    added: bool
    shown: str = A

    @property
    def in_editor(self) -> bool:
        """Return whether the slot is an Image Editor."""
        return self.target.kind in ("editor", "new")


def compare(context: bpy.types.Context, image: bpy.types.Image, added: bool = False) -> Comparison:
    """Start a comparison of `image` with the active slot's (see `slots.active_slot_image`). Nothing is changed yet.

    Raises:
        SourceUnusable: The slot is empty or holds `image` already.
        TargetUnusable: The slot cannot be changed.
    """
    current, target = slots.active_slot_image(context)
    if current == image:
        raise SourceUnusable("This picture is in the slot already.", "Choose another one to compare it with.")
    return Comparison(target, targets.identity(current), targets.identity(image), current.use_fake_user, added)


def sides(comparison: Comparison) -> tuple[bpy.types.Image | None, bpy.types.Image | None]:
    """Return both images; None for one that is gone."""
    return targets.lookup(comparison.a), targets.lookup(comparison.b)


def show_side(comparison: Comparison, side: str) -> Comparison:
    """Put A or B into the slot: node, canvas and editors. The caller pushes the undo step.

    Raises:
        TargetUnusable: The image or the slot is gone.
    """
    a, b = sides(comparison)
    if a is None or b is None:
        raise TargetUnusable("One of the two pictures is no longer in this file.", "Begin the comparison again.")
    wanted, shown = (b if side == B else a), (b if comparison.shown == B else a)
    if comparison.in_editor:
        spaces = [space for space in screens.editors() if space.image in (a, b)]
        for space in [space for space in spaces if space.image == shown] or spaces:  # undo may have turned them round
            space.image = wanted
        screens.redraw("IMAGE_EDITOR")
    else:
        placement = targets.place(replace(comparison.target, image=targets.identity(shown)), [wanted])
        # The picture in one tile, and the others: that is B from now on
        if side == B and placement.image.uid != wanted.session_uid:
            if comparison.added and wanted.users == wanted.use_fake_user:
                bpy.data.images.remove(wanted)
            return replace(comparison, shown=side, b=placement.image, added=True)
    return replace(comparison, shown=side)


def end_comparison(comparison: Comparison, keep: bool) -> None:
    """Leave B in the slot, with A in the file (`keep`), or restore A and remove B if it was loaded for the comparison
    only.

    Raises:
        TargetUnusable: The image or the slot is gone.
    """
    show_side(comparison, B if keep else A)
    a, b = sides(comparison)
    if keep and comparison.target.kind == "editor":
        replacing.replace_everywhere(a, b)  # until now it was in the editor alone
    if keep:
        if a.type not in screens.RENDERED:
            replacing.keep(a)
        return
    a.use_fake_user = comparison.fake
    if comparison.added and b.users - b.use_fake_user <= 0:
        bpy.data.images.remove(b)
