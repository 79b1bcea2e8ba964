"""Restyle animations so that what is painted stays on its surface: the scene's, folders of frames, and movies."""
from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from ...core.errors import InvalidRequest, JobCancelled
from ...core.tasks import RESTYLE_SEQUENCE
from .. import exits
from ..interrupts import Interrupts
from ..options import add_machine, add_settings, settings_in
from ..painting import check_machine, set_up
from ..reporting import Progress, end, fail, record, wait
from ..units import controls_of, regions_of, source_of

if TYPE_CHECKING:
    from ...session.job import Job

HELP = "restyle an animation: the scene's, a folder of frames, or a movie"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", help="SCENE, a folder of numbered pictures, a pattern with ####, or a movie")
    parser.add_argument("prompt", help="what the frames should show")
    parser.add_argument("--output", metavar="FOLDER", required=True, help="where the frames go")
    parser.add_argument("--frames", metavar="RANGE", help="the whole animation, such as 1-48 or 1-48x2")
    parser.add_argument("--only", default="", metavar="RANGE", help="the frames of it to make now, as a farm's chunk; "
                                                                    "with --resume, once it was recorded")
    parser.add_argument("--resume", action="store_true", help="go on with what the folder has of an earlier run")
    parser.add_argument("--record-only", action="store_true", help="render and note where surfaces are; paint nothing")
    parser.add_argument("--keyframes-only", action="store_true", help="paint only the keyframes, as a preview")
    parser.add_argument("--of-scene", action="store_true", help="the pictures show the open scene from its camera")
    parser.add_argument("--link", help="auto, surface, vector or flow; else as it was recorded, or auto")
    parser.add_argument("--prompt-from", action="append", type=_prompt, metavar="FRAME=PROMPT",
                        help="another prompt from a frame on; may be given several times")
    parser.add_argument("--varying", action="append", type=_varying, metavar="SETTING=PATH",
                        help="a setting that follows a property of the scene, by its data path")
    parser.add_argument("--movie", metavar="FILE", help="a movie to make of the frames: .mp4, .mov or .mkv")
    parser.add_argument("--exr", action="store_true", help="write OpenEXR files too, scene-linear (linear Rec. 709)")
    parser.add_argument("--blend", metavar="FILE", help="the .blend file to open first")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    add_machine(parser)
    add_settings(parser, RESTYLE_SEQUENCE, "the frames")


def run(asked: argparse.Namespace) -> int:
    from ...calls.runtime import runtime
    from ...calls.sequences import restyle_sequence

    output, asked.output = asked.output, None  # the option of the same name is of single pictures
    set_up(asked)
    given = settings_in(asked, RESTYLE_SEQUENCE)
    if given.pop("axes", None):
        raise InvalidRequest("Animations have no grids.", "Leave --axis out.")
    given["controls"] = controls_of(given.pop("control_pictures", ()))
    given["regions"] = regions_of(given.pop("regions", ()))
    if "reference" in given:
        given["reference"] = source_of(given["reference"])
    if not asked.record_only:
        check_machine()
    progress = Progress(1, asked.quiet)
    with Interrupts() as interrupts:
        runtime.tell = lambda text, done, total: progress.show(done, asked.prompt, text, done / total, None)
        runtime.interrupted = lambda: bool(interrupts.status)
        try:
            job = restyle_sequence(
                asked.prompt, asked.source, frames=asked.frames, output=os.path.expanduser(output),
                only=asked.only, resume=asked.resume, record_only=asked.record_only, link=asked.link,
                keyframes_only=asked.keyframes_only, of_scene=asked.of_scene or None, prompts=asked.prompt_from,
                varying=dict(asked.varying or ()) or None, movie=asked.movie, exr=asked.exr,
                **given)
            wait(job, progress, interrupts)
        except JobCancelled:  # while this Blender rendered
            return end(asked.json, interrupts.status, cancelled=1)
        finally:
            progress.close()
            runtime.shutdown()
        if interrupts.status:
            return end(asked.json, interrupts.status, cancelled=1)
        return _report(asked, job)


def _report(asked: argparse.Namespace, job: Job) -> int:
    if job.error is not None:
        return end(asked.json, fail(job.error, exits.status_of(job.error), asked.json, job.label), failed=1)
    for path in map(str, job.outputs):
        record("made", path=path, notes=job.notes) if asked.json else print(path, flush=True)
    if not asked.json:
        for note in job.notes:
            print(f"{job.label}: {note}", flush=True)
    return end(asked.json, exits.DONE, made=len(job.outputs))


def _prompt(text: str) -> tuple[int, str]:
    frame, _, prompt = text.partition("=")
    if not frame.strip().lstrip("-").isdecimal() or not prompt.strip():
        raise argparse.ArgumentTypeError(f"'{text}' is not FRAME=PROMPT")
    return int(frame), prompt.strip()


def _varying(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if not (equals and name and path):
        raise argparse.ArgumentTypeError(f"'{text}' is not SETTING=PATH")
    return name, path
