"""Restyle an animation: the scene's, a folder of frames, or a movie."""
from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..core.common_settings import MAX_SIDE
from ..core.errors import InvalidRequest, OutputUnwritable
from ..core.frame_ranges import frames_in
from ..core.request_builder import checked_size
from ..core.tasks import RESTYLE_SEQUENCE
from ..library import files, shot_folders
from ..protocol.shot_names import name_of, numbers_of, of_first_view
from ..protocol.shots import ShotOrder
from ..session.job import Job
from .arguments import scene_call, task_call
from .runtime import runtime
from .sequence_frames import SCENE, Asked, among, asked_for, recorded_in
from .sequence_guides import guides_of, with_style_regions
from .sequence_recording import Begun, Moving, finished_in, prepare_shot
from .sequence_work import SequenceWork
from .submission import Order, open_source, prepare, submit

BESIDE = "BESIDE"  # a movie beside the folder of its frames, with its name
_FOLDER = "animations"  # in the output folder
_LINEAR = "exr"  # in the folder of the frames


@task_call(RESTYLE_SEQUENCE)
def restyle_sequence(prompt: str, source: Any = SCENE, *, frames: str | Iterable[int] | None = None,
                     output: str | os.PathLike | None = None, only: str = "", keyframes_only: bool = False,
                     keyframes: Mapping[int, Any] | None = None, of_scene: bool | None = None, link: str | None = None,
                     prompts: Iterable[tuple[int, str]] | None = None, varying: Mapping[str, str] | None = None,
                     size: tuple[int, int] | None = None, movie: str | os.PathLike | None = None, exr: bool = False,
                     place: str = "", resume: bool = False, spare: bool = False, record_only: bool = False,
                     **settings: Any) -> Job:
    """Paint over the frames of an animation so that what is painted stays on its surface. Return the job at once.

    A Blender without a window renders the frames from a copy of the open file and notes where all surfaces are; what
    you change meanwhile changes nothing. The job can be paused and resumed (`pause_job`, `resume_job`). Frames that are
    finished are never made again, also after a crash: the same call with `resume=True` goes on. `Job.outputs` are the
    files of the frames, then the OpenEXR files and the movie.

    Args:
        prompt: What the frames should show.
        source: "SCENE" renders the open scene; or a movie, a folder of numbered pictures, or a pattern with #### for
            the frame's number.
        frames: Which frames, as "1-48" or "1-48x2"; or (first, last) or (first, last, step). None for the scene's
            range, all files or the whole movie.
        output: The folder for the frames; None for a new one in the output folder.
        only: Which of them to make now, as `frames`; "" for all. The others count for the result as if they were made.
        keyframes_only: Whether to make only the keyframes: a preview of the style.
        keyframes: Pictures (as `source` of `restyle`) that you painted or chose for some frames; the others follow.
            None for those of an earlier run.
        of_scene: Whether files or a movie show the open scene from its camera, so that its surfaces can be used. None
            for what was recorded, else False.
        link: How points are found again in other frames: "surface" (exact), "vector" (Blender's Vector pass), "flow"
            (estimated from the pictures), or "auto" for the most exact that there is. None for what was recorded, else
            "auto".
        prompts: Pairs of a frame and the prompt from there on. None for those that an earlier call gave, else markers
            of the timeline named "prompt: …".
        varying: Settings (strength, guidance, seed, blend, "regions/0", …) that follow a property of the scene, by its
            data path; blend is how much of the next prompt is mixed in, a region's how much of it counts. None for what
            was recorded.
        size: Width and height of the results in pixels; None for the frames' own.
        movie: A movie to make of the frames, .mp4, .mov or .mkv, with the sound of a movie that is the source; "BESIDE"
            for one beside their folder. A stereoscopic scene gets one for each eye (film_L.mp4, film_R.mp4).
        exr: Whether to write OpenEXR files too, half float and scene-linear (linear Rec. 709), into a folder `exr`.
        place: "sequencer" or "compositor" to bring the frames in there.
        resume: Whether to go on with what `output` has of an earlier run, with the scene as it was then, and without a
            `seed` with the seed of that run. With `only`, the other settings must be those of that run too.
        spare: Whether frames in `output` that were painted with other settings stay: then the new ones go into a new
            folder, with the same recording.
        record_only: Whether to leave it at recording, for machines that paint parts of it by `only` and `resume`.
        {settings}

    Raises:
        SDError: The source, a frame or a setting cannot be used. Settings are checked first: nothing is rendered in
            vain.
    """
    order = prepare(RESTYLE_SEQUENCE, prompt, settings)
    begun = Begun.at(output, resume, bool(only), of_scene, link)
    asked = begun.asked(asked_for(source, frames, begun.of_scene, order), frames is not None)
    order = begun.seeded(order, settings.get("seed"))
    wanted = among(frames_in(only), asked.frames) if only else asked.frames if begun.recorded is not None else ()
    order = with_style_regions(order, asked)
    guides = guides_of(order, asked)
    given = {number: open_source(picture) for number, picture in (keyframes or {}).items()}
    among(given, asked.frames)
    placed = runtime.scene.sequences.placing(place, _label(order, asked)) if place else None
    moving = Moving.of(prompts, varying, asked, begun)
    width, height = checked_size(size) if size else asked.size
    order.request = order.request.changed(width=width, height=height)
    film = "" if movie is None or keyframes_only else _movie(movie)
    begun.check(asked, order, guides, moving)
    folder, begun = _place(begun, order, spare)  # nothing is refused from here on
    work = SequenceWork(runtime.record_pipeline, None, ShotOrder(shot_folders.shot_in(folder), wanted, keyframes_only),
                        f"{folder}.mp4" if film == BESIDE else film,
                        os.path.join(folder, _LINEAR) if exr and not keyframes_only else "",
                        asked.source if asked.source != SCENE else "", record_only=record_only,
                        history=runtime.folders.output_folder)
    work.keyframes = None if keyframes is None else {number: opened for number, (opened, _) in given.items()}
    notes = list(order.notes)
    prepare_shot(work, folder, begun, asked, order, guides, moving, notes)
    if work.request is not None and runtime.scene.sequences.records_here():
        runtime.scene.sequences.record_here(work.request, runtime.tell, notes.append, runtime.interrupted)
        work.request = None
    order.label, order.notes = _label(order, asked), notes
    order.target = _brought_in(work, placed)
    order.controls, order.regions, order.reference = (), (), None  # their pictures are in the shot, or in `guides`
    job = submit(order, guides.inputs, size=(width, height), sequence=work, output=folder)
    job.folder = folder
    return job


def is_begun(output: str | os.PathLike) -> bool:
    """Return whether a recording for the frames in a folder was begun: a copy of the scene is there to go on with."""
    return bool(shot_folders.saved_copy(runtime.scene.local_path(output)))


def is_finished(output: str | os.PathLike) -> bool:
    """Return whether all frames that were recorded for a folder are there, however they were painted."""
    folder = runtime.scene.local_path(output)
    info = recorded_in(folder)
    return info is not None and {name_of(number, info.views) for number in numbers_of(info.frames, info.views)} <= set(
        finished_in(folder))


def frames_of(output: str | os.PathLike) -> tuple[int, ...]:
    """Return the frames that were recorded for the frames in a folder, all of them; () if they were not, or not all.
    """
    info = recorded_in(runtime.scene.local_path(output))
    return info.frames if info is not None else ()


@scene_call
def pause_job(job: Job) -> bool:
    """Stop an animation's job until `resume_job`; the frames that are finished stay. Return whether it can be paused.
    """
    return runtime.session is not None and runtime.session.pause(job)


@scene_call
def resume_job(job: Job) -> bool:
    """Put a paused job at the end of the queue: it goes on where it stopped. Return whether it was paused."""
    return runtime.session is not None and runtime.session.resume(job)


@scene_call
def forget_shot(output: str | os.PathLike) -> bool:
    """Delete what was recorded of a scene for the frames in a folder, and return whether there was something. The
    frames stay; they cannot be resumed then."""
    try:
        return shot_folders.forget_shot(runtime.scene.local_path(output))
    except OSError as error:
        raise OutputUnwritable(f"The recording in {output} cannot be deleted.", "Look who may write there.",
                               repr(error)) from None


# ---- where it goes ---------------------------------------------------------------------------------------------------


def _label(order: Order, asked: Asked) -> str:
    return order.label or order.request.prompt or Path(asked.source).name


def _place(begun: Begun, order: Order, spare: bool) -> tuple[str, Begun]:
    """Return the folder for the frames, made if it is missing, and what was begun for it. Raises OutputUnwritable and
    InvalidRequest."""
    if spare and begun.has_others(order.request):
        folder = _folder(_new_name(order))
        return folder, replace(begun, taken_over=begun.output if begun.recorded is not None else "")
    if begun.output and not begun.resume:
        _check_free(begun.output)
    return _folder(begun.output or _new_name(order)), begun


def _new_name(order: Order) -> str:
    """Return the path of a folder that is not there yet, named by the prompt."""
    parent = runtime.folders.output_folder() / _FOLDER
    name = "".join(sign if sign.isalnum() else "_" for sign in order.request.prompt[:40]).strip("_") or "animation"
    return str(next(path for number in range(1, MAX_SIDE) if not os.path.exists(
        path := parent / (name if number == 1 else f"{name}_{number}"))))


def _folder(folder: str) -> str:
    try:
        files.make_folders(folder)
    except OSError as error:
        raise OutputUnwritable(f"The folder {folder} cannot be made.", "Choose another.", repr(error)) from None
    if not os.access(folder, os.W_OK):
        raise OutputUnwritable(f"The folder {folder} is read-only.", "Choose another.")
    return folder


def _check_free(output: str) -> None:
    """Raise InvalidRequest if a job that has not ended makes its frames in a folder: a new recording would delete the
    one that it reads."""
    folder = os.path.normcase(output)
    for job in runtime.session.jobs if runtime.session is not None else ():
        if job.folder and not job.done and os.path.normcase(job.folder) == folder:
            raise InvalidRequest(f"'{job.label:.40}' is still being made in {job.folder}.",
                                 "Wait until it has ended, cancel it, or choose another folder.")


def _movie(movie: Any) -> str:
    if movie == BESIDE:
        return BESIDE
    path = os.path.abspath(runtime.scene.local_path(movie))
    if not path.lower().endswith((".mp4", ".mov", ".mkv")):
        raise InvalidRequest(f"A movie cannot be written as '{os.path.basename(path):.60}'.",
                             "Use .mp4, .mov or .mkv.")
    if not os.path.isdir(os.path.dirname(path)):
        raise OutputUnwritable(f"There is no folder for the movie: {os.path.dirname(path)}.",
                               "Make it, or choose another.")
    return path


def _brought_in(work: SequenceWork, placed: Any) -> Any:
    """Return what is done with a finished job on the main thread: its outputs are the files."""
    def bring_in(job: Job) -> list[Any]:
        paths = [result.path for result in job.results]
        if placed is not None and paths and not work.order.keys_only:
            first = of_first_view(paths)  # Blender finds the other views by it
            placed(list(first.values()), list(first))
        return [Path(path) for path in (*paths, *work.more)]

    return bring_in
