"""Painting a mask over its picture: Texture Paint and the Image Editors paint on the mask, with a white brush.

`mask_view` draws the picture and a tint over it. Afterwards everything is as it was. What is being painted is stored in
the file (`Scene.sd_mask_painting`, which the add-on registers), so undo and files saved meanwhile know it. Editors,
brushes and the canvas take no part in undo, so `settle` makes them follow the file: after undo, redo and loading, and
from the timer, which also ends the painting when the artist has left it in another way.
"""
from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import bpy

from ..core.errors import TargetUnusable
from . import compat, mask_view, masks, materials, screens, surfaces

WHITE, BLACK = (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)
MODE = "TEXTURE_PAINT"
_UNIFIED = {"use_unified_color": True, "color": WHITE, "secondary_color": BLACK, "use_unified_strength": True,
            "strength": 1.0,
            "use_color_jitter": False}
_BRUSH = {"blend": "MIX", "color_type": "COLOR"}

_former: dict[str, Any] | None = None  # editors, brush and canvas before painting; None while nothing is painted
_shown = 0  # session_uid of the mask that the editors show


def start(context: bpy.types.Context) -> None:
    """Start painting the mask of the image that `masks.masked_image` returns; the mask is made if missing.

    It is painted on the active object, if that shows the image, and in the Image Editors that show it.

    Raises:
        SourceUnusable: The image cannot be masked.
        TargetUnusable: There is nowhere to paint. In both cases nothing is changed.
    """
    image, target = masks.masked_image(context)
    if masks.painted_image(context.scene) == image:
        settle()
        return
    masks.check_maskable(image)
    materials.check_editable(context.scene, "scene")
    obj = _object_for(context, image, target.kind == "canvas")
    spaces = _spaces_for(context, image, anywhere=obj is None)
    if obj is None and not spaces:
        raise TargetUnusable(f"There is nowhere to paint the mask of '{image.name}': no Image Editor is open, and the "
                             "active object cannot be painted on.",
                             "Open an Image Editor, or select a mesh with a UV map that shows the image.")
    if masks.mask_of(image) is None:
        masks.new_mask(image)
    for scene in bpy.data.scenes:
        if masks.painted_image(scene) is not None:
            finish(context, scene)
    state = context.scene.sd_mask_painting
    former = {"mode": obj.mode if obj else "", "uv_map": "", **_paint_settings(context.scene),
              "spaces": _recorded(spaces)}
    if obj is not None:
        former["uv_map"] = obj.data.uv_layers.active.name
        obj.data.uv_layers.active = obj.data.uv_layers[surfaces.uv_map_of(obj, image)]
        _set_mode(context, obj, MODE)
    state.image, state.object, state.on_canvas = image, obj, target.kind == "canvas"
    state.former = json.dumps(former)
    settle()


def finish(context: bpy.types.Context, scene: bpy.types.Scene | None = None) -> None:
    """End the painting in `scene`, by default the context's. Does nothing if no mask is painted.

    Canvas, brush, mode, UV map and editors become what they were. The mask stays with its image.
    """
    scene = scene or context.scene
    state = scene.sd_mask_painting
    if state.image is None:
        return
    obj, former = state.object, _read(state)
    if obj is not None and obj.mode == MODE and former["mode"] not in ("",
                                                                       MODE) and obj.name in context.view_layer.objects:
        _set_mode(context, obj, former["mode"])
    if obj is not None and obj.type == "MESH" and obj.data.is_editable and former["uv_map"] in obj.data.uv_layers:
        obj.data.uv_layers.active = obj.data.uv_layers[former["uv_map"]]
    image = state.image
    _clear(state)
    _restore(scene, former, image)


def change(context: bpy.types.Context, invert: bool) -> None:
    """Make the mask that is painted black, or exchange its black and white (`invert`)."""
    image = masks.painted_image(context.scene)
    masks.new_mask(image, masks.inverted(masks.mask_of(image)) if invert else None)
    settle()


def settle() -> None:
    """Make editors, brush, canvas and overlay follow what the file says is being painted."""
    global _former, _shown
    scene = next((scene for scene in bpy.data.scenes if masks.painted_image(scene) is not None), None)
    if scene is None:
        if _former is not None:
            _restore(bpy.context.scene, _former, None)
        for other in bpy.data.scenes:
            if other.sd_mask_painting.former:  # its image is gone, or has no mask any more
                _clear(other.sd_mask_painting)
        return
    state, mask = scene.sd_mask_painting, masks.mask_of(scene.sd_mask_painting.image)
    if _former is None:
        _former = _read(state)
        _take_over(scene, mask)
    elif _shown != mask.session_uid:
        _swap(scene, mask)
    elif not _goes_on(state, mask):
        finish(bpy.context, scene)
        return
    _shown = mask.session_uid
    mask_view.show(state.image, mask, state.object)


def forget() -> None:
    """Forget what was changed: another file was loaded."""
    global _former, _shown
    _former, _shown = None, 0
    mask_view.hide()


# ---- where to paint --------------------------------------------------------------------------------------------------


def _object_for(context: bpy.types.Context, image: bpy.types.Image, on_canvas: bool) -> bpy.types.Object | None:
    """Return the active object if the mask of `image` can be painted on its faces."""
    obj = context.object
    if (obj is None or obj.type != "MESH" or not obj.is_editable or not obj.data.is_editable or not obj.data.uv_layers
            or not obj.visible_get() or not (len(obj.data.polygons) or obj.mode == "EDIT")):
        return None
    return obj if on_canvas or surfaces.wears(obj, image) else None


def _spaces_for(context: bpy.types.Context, image: bpy.types.Image, anywhere: bool) -> list[bpy.types.SpaceImageEditor]:
    """Return the editors in which the mask is painted.

    These are the one that the person is in, and those on screen that show `image` or nothing. If there are none and
    `anywhere` is true, one that shows something else.
    """
    here = context.space_data if context.space_data is not None and context.space_data.type == "IMAGE_EDITOR" else None
    others = [space for space in screens.editors() if space != here]
    suited = [space for space in others
              if space.image in (image, masks.mask_of(image)) or (space.image is None and not space.use_image_pin)]
    if here is not None:
        return [here, *suited]
    free = [space for space in others if not space.use_image_pin] if anywhere else []
    return suited or sorted(free, key=lambda space: space.image.type in screens.RENDERED)[:1]


def _all_spaces() -> Iterator[tuple[list, bpy.types.SpaceImageEditor]]:
    """Yield every Image and UV Editor, also hidden ones and those on other workspaces, with a key to find it again."""
    for screen in bpy.data.screens:
        for number, area in enumerate(screen.areas):
            for index, space in enumerate(area.spaces):
                if space.type == "IMAGE_EDITOR":
                    yield [screen.name, number, index], space


def _recorded(chosen: list[bpy.types.SpaceImageEditor]) -> list[list]:
    """Return [key, the image's name, mode, whether it paints the mask] of each editor: Blender shows a new canvas in
    all.
    """
    wanted = {space.as_pointer() for space in chosen}
    return [[key, space.image.name if space.image else "", space.mode, space.as_pointer() in wanted] for key,
            space in _all_spaces()]


def _set_mode(context: bpy.types.Context, obj: bpy.types.Object, mode: str) -> None:
    """Set the mode of `obj`: Blender changes only the active object's."""
    objects = context.view_layer.objects
    active = objects.active
    if active != obj:
        objects.active = obj
    bpy.ops.object.mode_set(mode=mode)
    if active != obj:
        objects.active = active


# ---- what is changed, and changed back -------------------------------------------------------------------------------


def _paint_settings(scene: bpy.types.Scene) -> dict[str, Any]:
    paint, unified = scene.tool_settings.image_paint, compat.unified_paint_settings(scene)
    return {"paint": {"mode": paint.mode, "use_stencil_layer": paint.use_stencil_layer},
            "canvas": paint.canvas.name if paint.canvas else "",
            "unified": {name: _plain(getattr(unified, name)) for name in _UNIFIED if hasattr(unified, name)}}


def _clear(state: bpy.types.PropertyGroup) -> None:
    state.image = state.object = None
    state.former, state.on_canvas = "", False


def _plain(value: Any) -> Any:
    return value if isinstance(value, (bool, str, float)) else list(value)


def _read(state: bpy.types.PropertyGroup) -> dict[str, Any]:
    """Return the state before painting, as the file stores it; for damaged text, Blender's defaults."""
    try:
        former = json.loads(state.former)
    except ValueError:
        former = None
    defaults = {"mode": "OBJECT", "uv_map": "", "paint": {"mode": "MATERIAL"}, "canvas": "", "unified": {},
                "spaces": []}
    return {**defaults, **former} if isinstance(former, dict) else defaults


def _take_over(scene: bpy.types.Scene, mask: bpy.types.Image) -> None:
    paint, unified = scene.tool_settings.image_paint, compat.unified_paint_settings(scene)
    paint.mode, paint.use_stencil_layer = "IMAGE", False
    paint.canvas = mask
    chosen = {tuple(key): (image, paints) for key, image, _, paints in _former["spaces"]}
    for key, space in _all_spaces():
        image, paints = chosen.get(tuple(key), ("", False))
        if paints:
            space.image, space.mode = mask, "PAINT"
        elif space.image == mask:
            space.image = bpy.data.images.get(image)
    for name in _former["unified"]:
        setattr(unified, name, _UNIFIED[name])
    brush = paint.brush  # 4.3 and later choose one when painting begins
    if brush is not None:
        wanted = {**_BRUSH, compat.brush_type_property(brush): "DRAW"}
        if "brush" not in _former:
            _former["brush"] = {"name": brush.name, **{name: getattr(brush, name) for name in wanted}}
            scene.sd_mask_painting.former = json.dumps(_former)
        _set_all(brush, wanted)
    screens.redraw("VIEW_3D", "IMAGE_EDITOR", "PROPERTIES")


def _swap(scene: bpy.types.Scene, mask: bpy.types.Image) -> None:
    """Follow the exchange of the mask for another (cleared, inverted, or one of these undone)."""
    before = next((image for image in bpy.data.images if image.session_uid == _shown), None)
    scene.tool_settings.image_paint.canvas = mask
    for _, space in _all_spaces():
        if space.mode == "PAINT" and space.image in (before, None):
            space.image = mask
    screens.redraw("VIEW_3D", "IMAGE_EDITOR")


def _restore(scene: bpy.types.Scene, former: dict[str, Any], image: bpy.types.Image | None) -> None:
    """Restore what `_take_over` changed. `image`: what new editors that show the mask get instead."""
    global _former
    paint, unified = scene.tool_settings.image_paint, compat.unified_paint_settings(scene)
    # The mask is gone if its creation was undone.
    mask = next((image for image in bpy.data.images if image.session_uid == _shown), None)
    spaces = {tuple(key): (name, mode) for key, name, mode, _ in former["spaces"]}
    now = [(key, space, space.image) for key, space in _all_spaces()]
    if paint.canvas in (mask, None):
        _set_all(paint, former["paint"])
        paint.canvas = bpy.data.images.get(former["canvas"])
    _set_all(unified, former["unified"])
    brush = former.get("brush")
    if brush and (known := paint.brush if paint.brush and paint.brush.name == brush["name"]
                  else bpy.data.brushes.get(brush["name"])):
        _set_all(known, {name: value for name, value in brush.items() if name != "name"})
    for key, space, shown in now:
        name, mode = spaces.get(tuple(key), (image.name if image else "", "VIEW"))
        space.image = bpy.data.images.get(name) if shown in (mask, None) else shown  # a new canvas has changed it
        if space.mode != mode and "PAINT" in (space.mode, mode):  # Blender keeps it if an editor shows nothing
            space.mode = mode
    _former = None
    mask_view.hide()
    screens.redraw("VIEW_3D", "IMAGE_EDITOR", "PROPERTIES")


def _set_all(owner: bpy.types.bpy_struct, values: dict[str, Any]) -> None:
    """Set the properties that differ: any setting marks a brush asset as changed."""
    for name, value in values.items():
        if hasattr(owner, name) and _plain(getattr(owner, name)) != value:
            setattr(owner, name, value)


def _goes_on(state: bpy.types.PropertyGroup, mask: bpy.types.Image) -> bool:
    """Return whether the mask can still be painted: on its object, or in an editor on screen."""
    if state.object is not None and state.object.mode == MODE and state.object.name in bpy.context.view_layer.objects:
        return True
    spaces = [space for _, space in _all_spaces()] if bpy.app.background else screens.editors()
    return any(space.image == mask and space.mode == "PAINT" for space in spaces)
