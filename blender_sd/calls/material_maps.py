"""Materials with all their maps, from a prompt or from a picture.

    job = sd.material("mossy cobblestones", size=1024, tiling="xy")
    material = job.result()[0]                               # a Principled BSDF with six maps
    sd.set_relief(material, "displacement", 0.5)             # at once, without another run
"""
from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import InvalidRequest, ModelNotFound, PolicyForbids
from ..core.map_presets import preset_named
from ..core.request import Request
from ..core.request_builder import checked_size
from ..core.tasks import AUTO_SOURCE, MAKE_SEAMLESS, MARIGOLD, PBR_MAPS, TEXT_TO_IMAGE, PbrMaps
from ..library.marigold import INTRINSICS, NORMALS
from ..session.job import Job
from .arguments import scene_call, task_call
from .policy import policy
from .runtime import runtime
from .source_pictures import kept_input
from .submission import open_source, prepare, submit, with_regions

if TYPE_CHECKING:
    import bpy


@task_call(TEXT_TO_IMAGE)
def material(prompt: str, *, size: int | tuple[int, int] | None = None, tiling: str = "xy", map_source: str = "auto",
             map_bits: str = "16", metres: float = 1.0, obj: bpy.types.Object | None = None, relief: str = "normal",
             relief_strength: float = 1.0, **settings: Any) -> Job:
    """Paint a material from words, with all its maps. Return its job at once; its result is the material.

    The material is a Principled BSDF with base colour, normal, height, roughness, metallic and occlusion. One node sets
    its scale, another its relief.

    Args:
        prompt: What it is made of, as for `generate`.
        size: Width and height in pixels, or one number for both.
        tiling: Axes along which it repeats.
        map_source: What makes the maps: auto, marigold, trained or estimated.
        map_bits: Bits of normal and height: "8" or "16".
        metres: The width in metres of the surface that the picture shows.
        obj: A mesh whose active material slot gets the material; None leaves it in the file.
        relief: How the height is shown: normal, bump or displacement.
        relief_strength: How strong the relief is; 1 is as estimated.
        {settings}

    Raises:
        SDError: The settings cannot be met. Nothing was started.
    """
    if isinstance(size, int):
        size = (size, size)
    if size is not None:
        width, height = checked_size(size)
        settings |= {"width": width, "height": height}
    if settings.get("axes") or (settings.get("count") or 1) > 1:
        raise InvalidRequest("A material is made of one picture, so it takes no grid and no 'count'.",
                             "Call it once for each material.")
    settings["tiling"] = tiling
    settings["target"] = settings.get("target") or _placing(settings.get("label"), obj, relief, relief_strength)
    order = with_regions(prepare(TEXT_TO_IMAGE, prompt, settings))
    return submit(order, {}, maps=map_task(map_source, map_bits, metres, tiling))


@task_call(MAKE_SEAMLESS)
def pbr_maps(source: Any, prompt: str | None = None, *, seamless: bool = False, map_source: str = "auto",
             map_bits: str = "16", metres: float = 1.0, wraps: str = "auto", obj: bpy.types.Object | None = None,
             relief: str = "normal", relief_strength: float = 1.0, **settings: Any) -> Job:
    """Make a material with all its maps from a picture of it. Return its job at once; its result is the material.

    Args:
        source: As for `restyle`.
        prompt: With `seamless`: what the picture shows, as for `make_seamless`.
        seamless: Whether the picture is made seamless first, in the same job; only then the settings below count.
        map_source, map_bits, metres, obj, relief, relief_strength: As for `material`.
        wraps: The axes on which the picture repeats: none, x, y, xy; auto looks for itself.
        {settings}

    Raises:
        SDError: The source or the settings cannot be used.
    """
    label = settings.get("label") or ""
    if seamless:
        maps = map_task(map_source, map_bits, metres, "xy")
        settings["label"] = label = label or prompt or _name_of(source)
        settings["target"] = settings.get("target") or _placing(label, obj, relief, relief_strength)
        order = prepare(MAKE_SEAMLESS, prompt, settings, source)
        data, size = open_source(source)
        return _noted(submit(order, {"source": data}, size=size, given=source, maps=maps), source)
    target = settings.pop("target", None)
    idle = next((name for name in settings if name != "label"), "prompt" if prompt else "")
    if idle:
        raise InvalidRequest(f"'{idle}' changes nothing where the picture is not made seamless first.",
                             "Leave it out, or give seamless=True.")
    maps = map_task(map_source, map_bits, metres, wraps)
    place = target or _placing(label or _name_of(source), obj, relief, relief_strength)
    return _submitted(maps, source, place, label or _name_of(source))


def again(request: Request, source: Any, target: Any, label: str) -> Job:
    """Make the maps of a whole request again, of another source if one is given. Raises SDError."""
    assert isinstance(request.task, PbrMaps)  # the caller has looked
    maps = request.task
    if maps.intrinsics or maps.map_source == MARIGOLD:  # this machine's weights may lie elsewhere
        maps = map_task(maps.map_source, maps.map_bits, maps.metres, maps.wraps)
    given = kept_input("source", request.source) if source is None else source
    name = label or request.prompt
    return _submitted(maps, given, target or _placing(name, None, "normal", 1.0), name)


@scene_call
def set_relief(material: bpy.types.Material, relief: str | None = None, strength: float | None = None) -> None:
    """Change how a material of `material` or `pbr_maps` shows its height, and how strongly. No picture is made again.

    Args:
        material: The material.
        relief: normal (what glTF takes), bump, or displacement (the surface itself moves; it needs many faces).
        strength: How strong the relief is; 1 is as estimated.

    Raises:
        SDError: The material has no such relief, or cannot be changed.
    """
    runtime.scene.set_relief(material, relief, strength)


@scene_call
def export_maps(material: bpy.types.Material, folder: str | os.PathLike, *, preset: str = "blender",
                name: str = "") -> list[Path]:
    """Write the maps of a material of `material` or `pbr_maps` as PNG files; the files.

    Args:
        material: The material.
        folder: Where they go; made if missing. Files of the same names are replaced.
        preset: Whose names, normals and packing: blender, gltf, unreal or unity.
        name: What stands in the files' names; by default the material's name.

    Raises:
        SDError: The material has no maps, the preset is unknown, or the folder cannot be written.
    """
    chosen = preset_named(preset)
    return runtime.scene.export_maps(material, runtime.scene.local_path(folder), chosen, name)


@scene_call
def begin_export(material: bpy.types.Material, folder: str | os.PathLike, preset: str) -> Any:
    """Return the `scene.MapExport` that does piece by piece what `export_maps` does at once. Raises SDError."""
    return runtime.scene.MapExport(material, runtime.scene.local_path(folder), preset_named(preset))


def map_sources() -> dict[str, str]:
    """Return the sources of maps that can be used now, by identifier, the best first, each with its folder ("" for the
    built-in ones). Reads nothing that was not read before."""
    known = {weights.kind: weights.place for weights in runtime.models.marigold() if not weights.reason}
    marigold = {MARIGOLD: known[INTRINSICS]} if INTRINSICS in known else {}
    return {**marigold, "trained": "", "estimated": ""}


def _submitted(maps: PbrMaps, source: Any, place: Callable[[Job], list], name: str) -> Job:
    """Submit maps of a picture. Raises SDError."""
    scene = runtime.scene
    data, size = open_source(source)
    request = Request.of(PBR_MAPS, width=size[0], height=size[1], prompt=name).changed(task=maps)
    job = runtime.the_session().submit(
        request, folder="", output=str(runtime.folders.output_folder()), inputs={"source": data},
        commit=lambda done: scene.hold(place(done)), label=name, recall=scene.recall)
    job.notes += scene.remarks(scene.new_image_target(), source)
    return _noted(job, source)


def _noted(job: Job, source: Any) -> Job:
    """Return the job, with a note if its source holds more light than is used."""
    if loss := runtime.scene.clipped_light(source):
        job.notes.append(loss)
    return job


def map_task(source: str, bits: str, metres: float, wraps: str) -> PbrMaps:
    """Return how maps are made, with Marigold's weights where they are wanted, there, and allowed. Raises SDError."""
    task = PbrMaps(map_source=source, map_bits=bits, metres=metres, wraps=wraps)
    if source not in (AUTO_SOURCE, MARIGOLD):
        return task
    runtime.models.all()  # reads the folders, if that was not done yet
    weights = runtime.models.marigold()
    known = {item.kind: item.place for item in weights if item.kind and not item.reason}
    if source == MARIGOLD and INTRINSICS not in known:
        reason = next((item.reason for item in weights if item.reason), "")
        raise ModelNotFound(reason or "There are no Marigold weights in the model folders.",
                            "Put marigold-iid-appearance into one of them, or choose another source of the maps.")
    for kind, place in list(known.items()):
        try:
            policy().check_model(place, "Marigold model")
        except PolicyForbids:
            if source == MARIGOLD:
                raise
            del known[kind]
    if INTRINSICS not in known:
        return task
    return replace(task, intrinsics=known[INTRINSICS], normals=known.get(NORMALS, ""))


def _placing(name: str | None, obj: Any, relief: str, strength: float) -> Callable[[Job], list]:
    """Return what places a finished job's maps as a material of that name; None is the job's. Raises SDError."""
    scene = runtime.scene
    scene.check_relief(relief, strength)
    worn = scene.freeze_slot(obj)

    def place(job: Job) -> list:
        return [scene.place_material(worn, job.results, name or job.label, relief, strength)]

    return place


def _name_of(source: Any) -> str:
    """Return what a source is called."""
    name = getattr(source, "name", None) or (source if isinstance(source, str) else "")
    return str(name).replace("\\", "/").rsplit("/", 1)[-1].rsplit(".", 1)[0][:60] or "picture"
