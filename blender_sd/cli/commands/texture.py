"""Texture whole objects of a .blend file from every side."""
from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any

from ...core.errors import InvalidRequest, OutputUnwritable, SDError
from ...core.tasks import AUTO_SOURCE, MAP_SOURCES, TEXTURE_OBJECT
from .. import exits
from ..interrupts import Interrupts
from ..options import add_machine, add_settings, settings_in
from ..painting import set_up
from ..reporting import Progress, end, fail, record, wait
from ..units import controls_of, source_of

if TYPE_CHECKING:
    from ...session.job import Job

HELP = "paint the textures of whole objects from every side"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("objects", help="the objects' names, with commas between them")
    parser.add_argument("prompt", help="what they are made of")
    parser.add_argument("--views", default="auto",
                        help="auto, or names of sides such as front,left,top, or names of cameras, with commas between")
    parser.add_argument("--view-size", type=int, metavar="N", help="side of the views in pixels")
    parser.add_argument("--texture-size", type=int, default=2048, metavar="N", help="side of new images in pixels")
    parser.add_argument("--mask", metavar="FILE", help="what is repainted: a picture in the objects' UVs, or a vertex "
                                                       "group's name")
    parser.add_argument("--source", metavar="FILE", help="a picture in the objects' UVs to start from")
    parser.add_argument("--part", action="append", type=_part, metavar="NAME=PROMPT",
                        help="another prompt for a material or object; may be given several times")
    parser.add_argument("--map-source", choices=tuple(MAP_SOURCES), default=AUTO_SOURCE,
                        help="with --maps: what makes them (auto)")
    parser.add_argument("--save", metavar="FILE", help="the .blend file to save the textured scene as")
    parser.add_argument("--blend", metavar="FILE", help="the .blend file to open first")
    parser.add_argument("--output", metavar="FOLDER", help="where the pictures go")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    add_machine(parser)
    add_settings(parser, TEXTURE_OBJECT)


def run(asked: argparse.Namespace) -> int:
    from ...calls.runtime import runtime
    from ...calls.texturing import texture_object

    set_up(asked)
    given = settings_in(asked, TEXTURE_OBJECT)
    given["controls"] = controls_of(given.pop("control_pictures", ()))
    if given.pop("axes", None):
        raise InvalidRequest("Objects have no grids.", "Leave --axis out.")
    mask = asked.mask if asked.mask is None or not os.path.exists(asked.mask) else source_of(asked.mask)
    progress = Progress(1, asked.quiet)
    with Interrupts() as interrupts:
        try:
            job = texture_object(
                [name.strip() for name in asked.objects.split(",")], asked.prompt, size=asked.texture_size,
                views=_views(asked.views), view_size=asked.view_size, mask=mask,
                source=None if asked.source is None else source_of(asked.source),
                prompts=dict(asked.part or ()), map_source=asked.map_source, **given)
            wait(job, progress, interrupts)
        finally:
            progress.close()
            runtime.shutdown()
        if interrupts.status:
            return end(asked.json, interrupts.status, cancelled=1)
        return _report(asked, job)


def _views(text: str) -> Any:
    """Return the views as the API takes them: cameras of the scene, where all names are theirs."""
    from ...calls.scene_access import has_blender

    names = [name.strip() for name in text.split(",") if name.strip()]
    if has_blender():
        import bpy

        scene = bpy.context.scene
        cameras = [scene.objects.get(name) for name in names] if scene is not None else []
        if cameras and all(camera is not None and camera.type == "CAMERA" for camera in cameras):
            return cameras
    return text if text == "auto" else names


def _report(asked: argparse.Namespace, job: Job) -> int:
    if job.error is not None:
        status = fail(job.error, exits.status_of(job.error), asked.json, job.label)
        return end(asked.json, status, failed=1)
    for result in job.results:
        if asked.json:
            record("made", path=result.path, role=result.role, width=result.width, height=result.height,
                   seed=result.request.seed, notes=job.notes)
        else:
            print(result.path, flush=True)
    return end(asked.json, _saved(asked) if asked.save else exits.DONE, made=len(job.results))


def _saved(asked: argparse.Namespace) -> int:
    import bpy

    path = os.path.abspath(os.path.expanduser(asked.save))
    try:
        bpy.ops.wm.save_as_mainfile(filepath=path, copy=True)
    except RuntimeError as problem:
        error: SDError = OutputUnwritable(f"The scene could not be saved as {path}.", "Look who may write there.",
                                          str(problem))
        return fail(error, exits.status_of(error), asked.json)
    record("saved", path=path) if asked.json else print(path, flush=True)
    return exits.DONE


def _part(text: str) -> tuple[str, str]:
    name, sign, prompt = text.partition("=")
    if not sign or not name.strip() or not prompt.strip():
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=PROMPT")
    return name.strip(), prompt.strip()
