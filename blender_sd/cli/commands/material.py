"""Make a material with all its maps, from words or from a picture."""
from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ...core.errors import InvalidRequest, SDError
from ...core.map_presets import PRESETS
from ...core.tasks import MAP_SOURCES, TEXT_TO_IMAGE, WRAPS
from .. import exits
from ..blend_files import whole_path
from ..interrupts import Interrupts
from ..options import add_machine, add_settings, settings_in
from ..painting import set_up
from ..reporting import Progress, end, fail, record, wait

if TYPE_CHECKING:
    from ...session.job import Job

HELP = "make a material with all its maps, from words or from a picture"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prompt", nargs="?", help="what the material is made of; with --image only for --seamless")
    parser.add_argument("--image", metavar="FILE", help="make the maps of this picture")
    parser.add_argument("--seamless", action="store_true", help="with --image: make it seamless first, by the "
                                                                "picture's settings; the prompt says what it shows")
    parser.add_argument("--map-source", choices=tuple(MAP_SOURCES), help="what makes the maps (auto)")
    parser.add_argument("--map-bits", choices=("8", "16"), help="bits of normal and height (16)")
    parser.add_argument("--metres", type=float, metavar="X", help="the width that the picture shows in metres (1)")
    parser.add_argument("--wraps", choices=WRAPS, help="with --image: the axes on which it repeats (auto)")
    parser.add_argument("--preset", choices=tuple(PRESETS), help="write the maps as this program wants them (in "
                                                                 "Blender); else one PNG for each map")
    parser.add_argument("--name", default="", help="what stands in the files' names")
    parser.add_argument("--output", metavar="FOLDER", help="where the maps go")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    parser.add_argument("--blend", metavar="FILE", help="the .blend file to open first")
    add_machine(parser)
    add_settings(parser, TEXT_TO_IMAGE, "the picture")


def run(asked: argparse.Namespace) -> int:
    settings = settings_in(asked, TEXT_TO_IMAGE)
    _check(asked, settings)
    set_up(asked)
    job = _begun(asked, settings)
    return _finished(asked, job)


def _check(asked: argparse.Namespace, settings: dict[str, Any]) -> None:
    """Raise InvalidRequest for options that do not go together."""
    if asked.seamless and not asked.image:
        raise InvalidRequest("--seamless is about the picture that --image gives.",
                             "A material of words repeats anyway.")
    if bool(asked.prompt) == bool(asked.image) and not asked.seamless:
        raise InvalidRequest("Give either a prompt or --image.", 'Such as: material "mossy cobblestones".')
    if asked.image and settings and not asked.seamless:
        raise InvalidRequest(f"'{next(iter(settings))}' changes nothing where the maps are made of a picture.",
                             "Leave it out, or give a prompt in place of --image.")
    if asked.seamless and asked.wraps is not None:
        raise InvalidRequest("What is made seamless repeats on both axes.", "Leave out --wraps.")
    if asked.prompt and asked.wraps is not None:
        raise InvalidRequest("--wraps is about the picture that --image gives.", "Give --tiling with a prompt.")


def _begun(asked: argparse.Namespace, settings: dict[str, Any]) -> Job:
    """Return the job. Raises SDError."""
    from ...calls import material_maps
    from ...calls.scene_access import the_scene

    keywords: dict[str, Any] = {name: value for name in ("map_source", "map_bits", "metres")
                                if (value := getattr(asked, name)) is not None}
    if settings.pop("control_pictures", None):
        raise InvalidRequest("A material takes no --control.", "Paint the picture first, then give it as --image.")
    if asked.preset:
        the_scene().check_relief("normal")  # NeedsBlender is raised now, not when the maps are made
    else:
        keywords["target"] = lambda job: list(job.results)
    if asked.image:
        if asked.wraps is not None:
            keywords["wraps"] = asked.wraps
        if asked.seamless:
            keywords |= {"prompt": asked.prompt, "seamless": True, **settings}
        return material_maps.pbr_maps(whole_path(asked.image), label=asked.name or None, **keywords)
    return material_maps.material(asked.prompt, **keywords, **settings, label=asked.name or None)


def _finished(asked: argparse.Namespace, job: Job) -> int:
    """Wait for the job, write its maps, and return the exit code. Raises SDError."""
    from ...calls import material_maps
    from ...calls.runtime import runtime

    progress = Progress(1, asked.quiet)
    with Interrupts() as interrupts:
        try:
            wait(job, progress, interrupts)
            if interrupts.status:
                return end(asked.json, interrupts.status, cancelled=1)
            outputs = job.result()
            if asked.preset:
                folder = asked.output or str(runtime.folders.output_folder())
                paths = [(path.stem, str(path)) for path in material_maps.export_maps(
                    outputs[0], folder, preset=asked.preset, name=asked.name)]
            else:
                paths = [(result.role, result.path) for result in outputs]
        except SDError as error:
            return end(asked.json, fail(error, exits.status_of(error), asked.json, job.label), failed=1)
        finally:
            progress.close()
            runtime.shutdown()
    for note in job.notes:
        record("note", text=note) if asked.json else print(note)
    for role, path in paths:
        record("made", role=role, path=path) if asked.json else print(f"{role}: {path}")
    return end(asked.json, exits.DONE, made=len(paths))
