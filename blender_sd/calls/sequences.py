"""Restyle an animation: the scene's, a folder of frames, or a movie."""
from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..core.common_settings import MAX_SIDE
from ..core.errors import InvalidRequest, OutputUnwritable
from ..core.frame_ranges import frames_in
from ..core.names import suggestion
from ..core.regions import MASK, REGION_KINDS, as_fields
from ..core.request_builder import checked_size
from ..core.tasks import RESTYLE_SEQUENCE, RestyleSequence
from ..library import files, shot_folders
from ..library.shots import ShotWriter
from ..protocol.messages import Record
from ..protocol.shots import LINKS, Course, Shot, ShotInfo, ShotOrder
from ..session.job import Job
from .arguments import scene_call, task_call
from .runtime import runtime
from .sequence_frames import SCENE, Asked, among, asked_for, of_recording, recorded_in
from .sequence_work import SequenceWork
from .submission import Order, SourceLike, open_source, prepare, submit

AUTO = "auto"
BESIDE = "BESIDE"  # a movie beside the folder of its frames, with its name
_FOLDER = "animations"  # in the output folder
_LINEAR = "exr"  # in the folder of the frames
_VARYING = ("strength", "guidance", "seed", "blend")


@dataclass(frozen=True)
class _Guides:
    """What steers the frames: what is drawn of each, as `Record` has it, and pictures that hold for all, by role."""

    controls: tuple[str, ...]
    regions: str
    inputs: dict[str, SourceLike]


@task_call(RESTYLE_SEQUENCE)
def restyle_sequence(prompt: str, source: Any = SCENE, *, frames: str | Iterable[int] | None = None,
                     output: str | os.PathLike | None = None, only: str = "", keyframes_only: bool = False,
                     keyframes: Mapping[int, Any] | None = None, of_scene: bool | None = None, link: str = AUTO,
                     prompts: Iterable[tuple[int, str]] | None = None, varying: Mapping[str, str] | None = None,
                     size: tuple[int, int] | None = None, movie: str | os.PathLike | None = None, exr: bool = False,
                     place: str = "", resume: bool = False, record_only: bool = False, **settings: Any) -> Job:
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
        of_scene: Whether files or a movie show the open scene from its camera, so that its surfaces can be used.
        link: How points are found again in other frames: "surface" (exact), "vector" (Blender's Vector pass), "flow"
            (estimated from the pictures), or "auto" for the most exact that there is.
        prompts: Pairs of a frame and the prompt from there on. None for markers of the timeline named "prompt: …".
        varying: Settings (strength, guidance, seed, blend, "regions/0", …) that follow a property of the scene, by its
            data path; blend is how much of the next prompt is mixed in, a region's how much of it counts.
        size: Width and height of the results in pixels; None for the frames' own.
        movie: A movie to make of the frames, .mp4, .mov or .mkv, with the sound of a movie that is the source; "BESIDE"
            for one beside their folder.
        exr: Whether to write OpenEXR files too, half float and scene-linear (linear Rec. 709), into a folder `exr`.
        place: "sequencer" or "compositor" to bring the frames in there.
        resume: Whether to go on with what `output` has of an earlier run, with the scene as it was then.
        record_only: Whether to leave it at recording, for machines that paint parts of it by `only` and `resume`.
        {settings}

    Raises:
        SDError: The source, a frame or a setting cannot be used. Settings are checked first: nothing is rendered in
            vain.
    """
    order = prepare(RESTYLE_SEQUENCE, prompt, settings)
    if link not in (AUTO, *LINKS):
        raise InvalidRequest(f"Frames cannot be linked by '{link:.40}'.", suggestion(link, (AUTO, *LINKS)))
    asked = asked_for(source, frames, of_scene, order)
    recorded = recorded_in(runtime.scene.local_path(output)) if resume and output is not None else None
    if recorded is not None:
        asked = of_recording(asked, recorded, frames is not None)
    wanted = among(frames_in(only), asked.frames) if only else asked.frames if recorded is not None else ()
    guides = _guides(order, asked)
    given = {number: open_source(picture) for number, picture in (keyframes or {}).items()}
    among(given, asked.frames)
    placed = runtime.scene.sequences.placing(place, _label(order, asked)) if place else None
    _check_varying(varying or {})
    width, height = checked_size(size) if size else asked.size
    order.request.changed(width=width, height=height)
    film = "" if movie is None or keyframes_only else _movie(movie)
    contents = _contents(asked, order, guides)
    if output is not None and resume:
        _check_recorded(output, contents)
    elif output is not None:
        _check_free(output)
    folder = _output(output, order, resume)  # nothing is refused from here on
    work = SequenceWork(runtime.record_pipeline, None, ShotOrder(shot_folders.shot_in(folder), wanted, keyframes_only),
                        f"{folder}.mp4" if film == BESIDE else film,
                        os.path.join(folder, _LINEAR) if exr and not keyframes_only else "",
                        asked.source if asked.source != SCENE else "")
    notes = list(order.notes)
    if recorded is not None:
        _refresh(folder, recorded, _prompts(prompts, asked), varying or {})
    else:
        work.request = replace(_recording(asked, order, folder, link, prompts, varying, resume, notes),
                               controls=guides.controls, regions=guides.regions)
        shot_folders.note_contents(folder, contents)
    work.keyframes = None if keyframes is None else {number: opened for number, (opened, _) in given.items()}
    work.record_only = record_only
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


# ---- what is asked for ----------------------------------------------------------------------------------------------


def _guides(order: Order, asked: Asked) -> _Guides:
    """Return what steers the frames. Raises SDError for a control or a region that cannot be had in each frame."""
    scene = runtime.scene
    made = _Guides((), "[]", {})
    if order.reference is not None:
        made.inputs["reference"], _ = open_source(order.reference)
    drawn, named = [], []
    for number, (control, image) in enumerate(order.controls):
        if isinstance(image, str) and image in ("VIEWPORT", "RENDER"):
            raise InvalidRequest("The controls of an animation are drawn from the camera, or the same in all frames.",
                                 "Choose the camera or a picture.")
        if scene.is_drawn(control.kind, image) and image == "CAMERA":
            if not asked.of_scene:
                raise InvalidRequest(f"A {control.kind} picture needs a scene that it can be drawn from.",
                                     "Leave the control out, or say that the frames show the open scene.")
            drawn.append(f"{number}={control.kind}")
        elif image != "CAMERA":  # of that, the engine takes the frame itself
            made.inputs[f"control{number}"] = scene.open_control(control.kind, image, asked.size)
    if order.regions:
        scene.check_regions(order.regions, "CAMERA" if asked.of_scene else asked.source)
    for number, (region, mask) in enumerate(order.regions):
        if region.kind == MASK:
            made.inputs[f"region{number}"] = scene.open_mask(mask, asked.size)
        elif not asked.of_scene:
            raise InvalidRequest(f"There is no scene in which to look for {region.label}.",
                                 "Give the region a mask, or say that the frames show the open scene.")
        else:
            named.append((number, as_fields(region)))
    return replace(made, controls=tuple(drawn), regions=json.dumps(named))


# ---- where it goes ---------------------------------------------------------------------------------------------------


def _label(order: Order, asked: Asked) -> str:
    return order.label or order.request.prompt or Path(asked.source).name


def _output(output: Any, order: Order, resume: bool) -> str:
    """Return the folder for the frames, made if it is missing. Raises OutputUnwritable and InvalidRequest."""
    if output is None:
        if resume:
            raise InvalidRequest("To resume, the folder of the frames is needed.", "Give `output`.")
        parent = runtime.folders.output_folder() / _FOLDER
        name = "".join(sign if sign.isalnum() else "_" for sign in order.request.prompt[:40]).strip("_") or "animation"
        output = next(path for number in range(1, MAX_SIDE) if not os.path.exists(
            path := parent / (name if number == 1 else f"{name}_{number}")))
    folder = os.path.abspath(runtime.scene.local_path(output))  # without a slash at its end: a movie goes beside it
    try:
        files.make_folders(folder)
    except OSError as error:
        raise OutputUnwritable(f"The folder {folder} cannot be made.", "Choose another.", repr(error)) from None
    if not os.access(folder, os.W_OK):
        raise OutputUnwritable(f"The folder {folder} is read-only.", "Choose another.")
    return folder


def _check_free(output: Any) -> None:
    """Raise InvalidRequest if a job that has not ended makes its frames in a folder: a new recording would delete the
    one that it reads."""
    folder = os.path.normcase(os.path.abspath(runtime.scene.local_path(output)))
    for job in runtime.session.jobs if runtime.session is not None else ():
        if job.folder and not job.done and os.path.normcase(job.folder) == folder:
            raise InvalidRequest(f"'{job.label:.40}' is still being made in {job.folder}.",
                                 "Wait until it has ended, cancel it, or choose another folder.")


def _contents(asked: Asked, order: Order, guides: _Guides) -> dict[str, str]:
    """Return what a shot is of, by the names that messages have for it; alike on all machines of a farm. Where the
    order has no controls or regions, those of the shot do not count."""
    made = {"frames": "/".join(asked.source.replace("\\", "/").split("/")[-2:])}
    if order.controls:
        made["controls"] = " ".join(guides.controls)
    if order.regions:
        made["regions"] = " ".join(f"{number}={kind}:{fields[kind]}" for number, fields in json.loads(guides.regions)
                                   for kind in REGION_KINDS if kind in fields)
    return made


def _check_recorded(output: Any, contents: dict[str, str]) -> None:
    """Raise InvalidRequest if the shot to go on with is of something else: its pictures would be taken for these."""
    if name := shot_folders.differs(runtime.scene.local_path(output), contents):
        raise InvalidRequest(f"What was recorded in {output} has other {name}.",
                             "Record it again: leave out `resume`, or switch off Use Recorded Frames.")


def _check_varying(varying: Mapping[str, str]) -> None:
    for name in varying:
        if name not in _VARYING and not (name.startswith("regions/") and name[8:].isdecimal()):
            raise InvalidRequest(f"'{name:.40}' cannot follow a property.", suggestion(name, _VARYING))


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


def _recording(asked: Asked, order: Order, folder: str, link: str, prompts: Any, varying: Mapping[str, str] | None,
               resume: bool, notes: list[str]) -> Record:
    """Return what is recorded into `folder`; the saved copy of the scene lies there by then. Raises SDError."""
    scene, task = runtime.scene.sequences, order.request.task
    assert isinstance(task, RestyleSequence)
    known = shot_folders.saved_copy(folder) if resume else ""
    shot = shot_folders.shot_in(folder) if resume and os.path.isdir(shot_folders.shot_in(folder)) else (
        shot_folders.new_shot(folder))
    blend, name, scripts = known, "", False
    if asked.of_scene or varying:
        if scene.records_here():
            name = scene.name_of_scene()
        else:
            blend, name, scripts = _copy(folder, known, notes)
    return Record("", shot, asked.frames, blend, scripts, name if asked.of_scene else "",
                  "" if asked.source == SCENE else asked.source, link if asked.of_scene else "flow",
                  int(task.frame_bits), tuple(f"{key}={path}" for key, path in (varying or {}).items()),
                  json.dumps(_prompts(prompts, asked)), task.skip_broken)


def _prompts(prompts: Iterable[tuple[int, str]] | None, asked: Asked) -> list[tuple[int, str]]:
    """Return pairs of a frame and the prompt from there on: those of the call, or else of the timeline's markers."""
    if prompts is not None:
        return sorted((int(frame), str(text)) for frame, text in prompts)
    if not asked.of_scene:
        return []
    return list(runtime.scene.sequences.marked_prompts(asked.frames[0], asked.frames[-1]))


def _refresh(folder: str, recorded: ShotInfo, prompts: list[tuple[int, str]], varying: Mapping[str, str]) -> None:
    """Bring the settings of a recorded shot up to date: prompts, and what is keyframed now. What is driven stays as it
    was recorded. Raises OutputUnwritable."""
    shot = Shot(shot_folders.shot_in(folder))
    values = runtime.scene.sequences.keyframed_in_scene(tuple(varying.items()), recorded.frames)
    kept = {name: values.get(name, getattr(shot.course, name)) for name in _VARYING if name in varying}
    regions = {int(name[8:]): values.get(name, shot.course.regions.get(int(name[8:]), {})) for name in varying
               if name not in _VARYING}
    try:
        ShotWriter(shot.folder).course(Course(**kept, regions=regions, prompts=tuple(prompts)))
    except OSError as error:
        raise OutputUnwritable(f"The folder {folder} is read-only.", "Choose another.", repr(error)) from None


def _copy(folder: str, known: str, notes: list[str]) -> tuple[str, str, bool]:
    """Return the saved copy of the scene, made unless it is `known`, the scene's name, and whether scripts in it may
    run."""
    scene, state = runtime.scene.sequences, str(runtime.folders.own_folder("copies.json"))
    if known:
        trusted = scene.runs_scripts() and shot_folders.is_trusted(state, known)
        if not trusted:
            notes.append("Scripts in the copy of the scene do not run: it was made elsewhere, or its file forbids "
                         "them.")
        return known, scene.name_of_scene(), trusted
    blend, name, scripts, lost = scene.copy_scene(shot_folders.copy_folder(folder))
    notes += lost
    if scripts:
        shot_folders.trust(state, blend)
    return blend, name, scripts


def _brought_in(work: SequenceWork, placed: Any) -> Any:
    """Return what is done with a finished job on the main thread: its outputs are the files."""
    def bring_in(job: Job) -> list[Any]:
        paths = [result.path for result in job.results]
        if placed is not None and paths and not work.order.keys_only:
            numbers = [int(Path(path).stem) for path in paths]
            placed(paths, numbers)
        return [Path(path) for path in (*paths, *work.more)]

    return bring_in
