"""Decide whether an error's cause still exists, by comparing what it depends on now and when it occurred."""
from __future__ import annotations

from collections.abc import Callable

import bpy
from bpy.app.handlers import persistent

from .. import scene
from ..calls import engine_control, models
from ..calls.runtime import runtime
from ..core import errors

_renders = 0  # how many renders have ended in this session


def of(kind: str, where: bpy.types.Scene) -> object:
    """Return what an error of `kind`, about a request in the scene `where`, depends on now. Reads no disk."""
    settings = where.sd
    depends = _CAUSES.get(kind)
    return settings.task, depends(settings) if depends is not None else None


def _model(settings) -> object:
    return settings.model, models.known_ids(), runtime.config.model_folders, runtime.config.downloads


def _target(settings) -> object:
    obj = _active(settings)
    if obj is None:
        return settings.target, None
    linked = [item is not None and item.library is not None for item in (obj, obj.data, obj.active_material)]
    faces = len(obj.data.polygons) if obj.type == "MESH" else 0
    return settings.target, _id(obj), _id(obj.active_material), linked, faces


def _source(settings) -> object:
    obj = _active(settings)
    material = obj.active_material if obj is not None else None
    node = material.node_tree.nodes.active if material is not None and material.node_tree is not None else None
    image = getattr(node, "image", None)
    return settings.render_source, _renders, _id(settings.id_data.camera), _id(material), node and node.name, _id(image)


def _active(settings) -> bpy.types.Object | None:
    """Return the active object of the settings' scene; the timer does not know which window is meant."""
    return settings.id_data.view_layers[0].objects.active


def _id(datablock: bpy.types.ID | None) -> int | None:
    return datablock.session_uid if datablock is not None else None


def _everything(settings) -> object:
    simple = (item.identifier for item in settings.bl_rna.properties if item.type not in ("POINTER", "COLLECTION"))
    return tuple(str(getattr(settings, name)) for name in simple)


_CAUSES: dict[str, Callable[[bpy.types.PropertyGroup], object]] = {
    errors.EngineMissing.kind: lambda _settings:
    (engine_control.engine_status()[0] == "failed", runtime.config.engine_python),
    errors.EngineDied.kind: lambda _settings: engine_control.engine_status()[0] == "ready",
    errors.ModelNotFound.kind: _model,
    errors.ModelUnreadable.kind: _model,
    errors.OutOfMemory.kind: lambda settings:
    (settings.model, settings.width, settings.height, settings.refine_scale, runtime.config),
    errors.OutputUnwritable.kind: lambda _settings: runtime.config,
    errors.CertificateUnusable.kind: lambda _settings: runtime.config,
    errors.HubRefused.kind: lambda _settings: runtime.config,
    errors.OnlineAccessOff.kind: lambda _settings: bpy.app.online_access,
    errors.NeedsWindow.kind: lambda settings: settings.render_source,
    errors.NoRender.kind: _source,
    errors.SourceUnusable.kind: _source,
    errors.TargetUnusable.kind: _target,
    errors.StyleUnusable.kind: lambda settings: settings.style,
    errors.PolicyForbids.kind: lambda settings: (settings.model, runtime.policy.state),
    errors.InvalidRequest.kind: _everything,
    errors.WordBlocked.kind: lambda settings: (settings.words(), settings.negative, runtime.config.blocked_words),}


@persistent
def _rendered(rendered: bpy.types.Scene, *_: object) -> None:
    global _renders
    _renders += 1
    scene.note_render(rendered)


def register() -> None:
    scene.watch_renders()
    bpy.app.handlers.render_complete.append(_rendered)


def unregister() -> None:
    bpy.app.handlers.render_complete.remove(_rendered)
    scene.unwatch_renders()
